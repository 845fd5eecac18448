"""The text of a hierarchical prompt: one attribute a line with an optional kind, range and weight, and captions.

A line is   [kind:] words [@FROM-TO] [*WEIGHT]

    collar: V-Neck, deep and wide        a comma belongs to the words; it never starts another attribute
    puffed sleeve @800-300               said only from noise level 800 down to 300 (of 1000); 20%-70% means the same
    red lace hem *1.3                    weight in the host's own syntax: (red lace hem:1.3)
    blouse with \\@ and \\* and \\,         a backslash takes the special meaning away

Mistakes raise PromptError, which names the field, the line and the column and shows the line with a caret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..text_door import checked_items, quoted
from .vocabulary import ATTRIBUTES, kind_of

LEVELS = 1000.0  # noise levels run from 1000 (pure noise) to 0 (the finished picture), as in the published tables
MAX_WEIGHT = 10.0
SHOWN = 60  # characters of a long line that a mistake shows on either side of its place


class PromptError(ValueError):
    """A mistake in a prompt, with its place: `field`, `line` and `column` count from 1."""

    def __init__(self, field: str, line_number: int, column: int, line: str, problem: str):
        self.field, self.line, self.column = field, line_number, column
        first = max(0, column - 1 - SHOWN)
        shown, before = line[first : column - 1 + SHOWN], " " * (column - 1 - first)
        super().__init__(f"{field}, line {line_number}, column {column}: {problem}\n  {shown}\n  {before}^")


@dataclass(frozen=True)
class Attribute:
    """One attribute of a design. Levels are published noise levels, 1000 (noise) to 0 (picture)."""

    text: str
    kind: str | None = None
    weight: float = 1.0
    start: float | None = None  # said while stop <= level < start; None: the stage that its place in the order gives
    stop: float | None = None
    area: float | None = None  # measured share of the picture, 0..1, where a mask was given

    def said(self) -> str:
        """The words as the host's text encoder gets them, weight included."""
        return self.text if self.weight == 1.0 else f"({self.text}:{self.weight:g})"


def parse_attributes(text: str, field: str = "attributes") -> tuple[Attribute, ...]:
    """One Attribute a line; empty lines are skipped. Raises PromptError at the first mistake, ValueError for more
    than MOST_ITEMS of them."""
    lines = enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)
    written = checked_items([(number, line) for number, line in lines if line.strip()], field, "attributes")
    return tuple(parse_attribute(line, field, number) for number, line in written)


def parse_attribute(line: str, field: str = "attribute", number: int = 1) -> Attribute:
    """One line of the grammar above as an Attribute. Raises PromptError."""
    place = (field, number)
    kind, at = _split_kind(line)
    words_end, start, stop, weight = len(line), None, None, 1.0
    seen, expected = set(), None
    for match in _suffixes(line, at):
        _nothing_between(line, expected, match.start(), *place)
        expected = match.end()
        mark, value, column = match.group(1), match.group(2), match.start(1) + 1
        if mark in seen:
            raise PromptError(*place, column, line, f"a second {mark} in one attribute; keep one")
        seen.add(mark)
        words_end = min(words_end, match.start())
        if mark == "@":
            start, stop = _parse_range(value, *place, column + 1, line)
        else:
            weight = _parse_weight(value, *place, column + 1, line)
    _nothing_between(line, expected, len(line), *place)
    raw = line[at:words_end]
    if not raw.strip():
        raise PromptError(*place, at + 1, line, "no words; write what should be seen, for example 'puffed sleeve'")
    check_brackets(raw, field, number, line, at)
    words = unescape(raw.strip())
    return Attribute(words, kind or kind_of(words), weight, start, stop)


def unescape(text: str) -> str:
    r"""Take the backslash from \, \@ \* and \: (the host's own \( and \) stay for the host)."""
    return re.sub(r"\\([,@*:])", r"\1", text)


def split_commas(text: str) -> list[str]:
    r"""Split at commas, as the published code does, except at \, which stands for a comma inside an item.

    Empty items stay (they count as items). The items are neither stripped nor unescaped.
    """
    return re.split(r"(?<!\\),", text)


def check_brackets(text: str, field: str, number: int = 1, line: str | None = None, offset: int = 0) -> None:
    """Raise PromptError where a round bracket has no partner, or a weight in brackets is no number."""
    line = text if line is None else line
    opened: list[int] = []
    for match in re.finditer(r"\\.|[()]", text, re.DOTALL):
        at = offset + match.start()
        if match.group() == "(":
            opened.append(at)
        elif match.group() == ")":
            if not opened:
                raise PromptError(
                    field, number, at + 1, line, r"')' without '('; write \) for a bracket that is meant as text"
                )
            opened.pop()
    if opened:
        raise PromptError(
            field, number, opened[-1] + 1, line, r"'(' is never closed; write \( for a bracket that is meant as text"
        )


def check_text(text: str, field: str) -> None:
    """Check every line of a free text (concept, negative); brackets may span lines. Raises PromptError."""
    try:
        check_brackets(text, field)
    except PromptError as problem:
        at = problem.column - 1
        before = text[:at].split("\n")
        line = text.split("\n")[len(before) - 1]
        message = str(problem).split(": ", 1)[1].split("\n", 1)[0]
        raise PromptError(field, len(before), len(before[-1]) + 1, line, message) from None


def parse_borders(text: str, field: str = "borders") -> tuple[float, ...]:
    """'900, 800, 710' -> noise levels, falling, inside 0..1000 (both excluded). Raises PromptError."""
    borders: list[float] = []
    for number, line in enumerate(text.split("\n"), 1):
        for match in re.finditer(r"[^,;\s]+", line):
            place = (field, number, match.start() + 1, line)
            borders.append(_parse_border(match.group(), borders, *place))
    if not borders:
        raise PromptError(field, 1, 1, text, "no border; the published ones are 900, 800, 710, 630, 560, 500")
    return tuple(checked_items(borders, field, "borders"))


def _parse_border(value: str, before: list[float], field: str, number: int, column: int, line: str) -> float:
    level = _parse_level(value, field, number, column, line)
    problem = None
    if not 0.0 < level < LEVELS:
        problem = f"border {quoted(value)[1:-1]} is outside 0..1000; both ends belong to the outer stages"
    elif before and level >= before[-1]:
        problem = f"border {quoted(value)[1:-1]} does not fall below {before[-1]:g}; write them from noise to picture"
    if problem:
        raise PromptError(field, number, column, line, problem)
    return level


def _split_kind(line: str) -> tuple[str | None, int]:
    """A leading 'collar:' and where the words begin. Only the known kinds count, so 'embedding:name' stays text."""
    before, colon, _ = line.partition(":")
    kind = before.strip().lower()
    if colon and kind in (*ATTRIBUTES, "other"):
        return (kind if kind in ATTRIBUTES else None), len(before) + 1
    return None, 0


def _suffixes(line: str, at: int) -> list[re.Match]:
    """Every '@value' and '*value' that begins a word behind the words of the attribute."""
    return list(re.finditer(r"(?<!\S)(?<!\\)([@*])\s*(\S*)", line[:at].replace("@", " ").replace("*", " ") + line[at:]))


def _nothing_between(line: str, begin: int | None, end: int, field: str, number: int) -> None:
    """Words behind a range or weight would be lost: refuse them."""
    if begin is not None and line[begin:end].strip():
        column = begin + len(line[begin:end]) - len(line[begin:end].lstrip()) + 1
        raise PromptError(field, number, column, line, "words behind a range or weight; put them in front of it")


def _parse_range(value: str, field: str, number: int, column: int, line: str) -> tuple[float, float]:
    ends = value.split("-")
    if len(ends) != 2 or not all(ends):
        raise PromptError(
            field,
            number,
            column,
            line,
            f"{quoted(value or 'nothing')} is no range; write FROM-TO, for example @800-300 or @20%-70%",
        )
    start = _parse_level(ends[0], field, number, column, line)
    stop = _parse_level(ends[1], field, number, column + len(ends[0]) + 1, line)
    if start <= stop:
        raise PromptError(
            field, number, column, line,
            f"the range {quoted(value)[1:-1]} is empty: it begins at level {start:g} and ends at {stop:g}, and levels "
"fall while a picture is made",
        )  # fmt: skip
    return start, stop


def _parse_level(value: str, field: str, number: int, column: int, line: str) -> float:
    """'800' or '20%' (share of the way from noise to picture) as a level 0..1000."""
    body = value[:-1] if value.endswith("%") else value
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", body):
        raise PromptError(
            field, number, column, line, f"{quoted(value)} is no noise level; write a number 0 to 1000 or a percentage"
        )
    level = round(LEVELS * (1.0 - float(body) / 100.0), 6) if value.endswith("%") else float(body)
    if not 0.0 <= level <= LEVELS:
        raise PromptError(field, number, column, line, f"{quoted(value)[1:-1]} is outside 0..1000 (or 0%..100%)")
    return level


def _parse_weight(value: str, field: str, number: int, column: int, line: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", value):
        raise PromptError(
            field, number, column, line, f"{quoted(value or 'nothing')} is no weight; write a number, for example *1.3"
        )
    weight = float(value)
    if weight > MAX_WEIGHT:
        raise PromptError(field, number, column, line, f"weight {quoted(value)[1:-1]} is above {MAX_WEIGHT:g}")
    return weight
