"""Lists of picks as a person writes them: `1, 3-5`, numbered from 1; empty or `all` for everything."""

from __future__ import annotations

import re


def parse_picks(text: str, count: int) -> list[int]:
    """Indices from 0, in the order written. Raises ValueError for a number that does not exist or cannot be read."""
    text = text.strip().lower()
    if text in ("", "all"):
        return list(range(count))
    picks: list[int] = []
    for part in re.split(r"[,;\s]+(?![-–])", re.sub(r"\s*[-–]\s*", "-", text)):
        if not part:
            continue
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise ValueError(
                f"Pick {part!r} is no number; write numbers from 1 to {count}, such as `1, 3-4`, or `all`."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= min(first, last) <= max(first, last) <= count:
            raise ValueError(f"Pick {part} does not exist: there are {count} drafts, numbered from 1.")
        picks += [i - 1 for i in (range(first, last + 1) if first <= last else range(first, last - 1, -1))]
    return picks
