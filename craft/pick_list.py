"""Lists of picks as a person writes them: `1, 3-5`, numbered from 1; empty or `all` for everything."""

from __future__ import annotations

from .text_door import quoted

MOST_PICKS = 4096  # the host's own largest batch


def parse_picks(text: str, count: int) -> list[int]:
    """Indices from 0, in the order written. Raises ValueError for a number that does not exist or cannot be read."""
    text = text.strip().lower()
    if text in ("", "all"):
        return list(range(count))
    picks: list[int] = []
    for part in _parts(text):
        first, dash, last = part.partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() for end in ends):
            raise ValueError(
                f"Pick {quoted(part)} is no number; write numbers from 1 to {count}, such as `1, 3-4`, or `all`."
            )
        # A number of more digits than the count has is no draft, and too long for int() from 4300 digits on.
        a, b = (int(end.lstrip("0")[: len(str(count)) + 1] or 0) for end in ends)
        if not 1 <= min(a, b) <= max(a, b) <= count:
            raise ValueError(f"Pick {quoted(part)[1:-1]} does not exist: there are {count} drafts, numbered from 1.")
        picks += [i - 1 for i in (range(a, b + 1) if a <= b else range(a, b - 1, -1))]
        if len(picks) > MOST_PICKS:
            raise ValueError(f"The picks name more than {MOST_PICKS:,} drafts: give fewer.")
    return picks


def _parts(text: str) -> list[str]:
    """The picks, `4 - 2` as `4-2`."""
    words = text.replace(",", " ").replace(";", " ").replace("–", "-").replace("-", " - ").split()
    parts: list[list[str]] = []
    joins = False
    for word in words:
        if parts and (joins or word == "-"):
            parts[-1].append(word)
        else:
            parts.append([word])
        joins = word == "-"
    return ["".join(part) for part in parts]
