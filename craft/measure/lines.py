"""Texts of one line for each picture or caption: an empty line keeps its place."""

from __future__ import annotations


def lines_of(text: str, name: str) -> list[str]:
    """The lines of a text; empty ones at its end are left out. Raises ValueError for an empty line among others."""
    lines = text.rstrip().splitlines()
    empty = [str(number) for number, line in enumerate(lines, 1) if not line.strip()]
    if empty:
        raise ValueError(
            f"The {name} have nothing in line {', '.join(empty)} of {len(lines)}; each line belongs to one picture:"
            " fill it or take it out with what belongs to it."
        )
    return lines


def paired_lines(captions: str, references: str) -> tuple[list[str], list[str]]:
    """(captions, references) line by line, without the lines that are empty on both sides.

    Raises ValueError where a line is empty on one side only, or one text is longer.
    """
    first, second = (text.splitlines() for text in (captions, references))
    count = max(len(first), len(second))
    first, second = (lines + [""] * (count - len(lines)) for lines in (first, second))
    both = [(a, b) for a, b in zip(first, second) if a.strip() or b.strip()]
    odd = [str(n) for n, (a, b) in enumerate(zip(first, second), 1) if bool(a.strip()) != bool(b.strip())]
    if odd:
        raise ValueError(
            f"Line {', '.join(odd)} is empty in the captions or in the references only; line n of one belongs to line n"
            " of the other: fill it, or take it out of both."
        )
    return [a for a, _ in both], [b for _, b in both]
