"""The one door through which a text from a widget or a link comes in: its size, and characters that are none.

Every parser behind it is linear in the length of its text; the limits keep what is built from a text (stages, tokens,
masks) in proportion too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST_TEXT = 20_000  # characters of a prompt, a pick list, a filter, one line of a list
LONGEST_WORD = 1_000  # characters between two white spaces: the byte pairs of CLIP take time by the square of a word
DEEPEST_BRACKETS = 50  # brackets inside brackets: the host reads one level a call
LONGEST_LIST, MOST_LINES = 1_000_000, 10_000  # texts with one line a picture
LONGEST_CAPTION = 2_000  # characters of a caption to be scored: ROUGE-L takes time by the square of its words
MOST_ITEMS = 100  # attributes, borders, pairs, parts, filters of one node

_BRACKET = re.compile(r"\\.|[()]", re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def checked_text(text: object, name: str) -> str:
    """The text itself, or ValueError in one sentence. name: what the artist calls this input.

    At most LONGEST_TEXT characters, LONGEST_WORD without white space, DEEPEST_BRACKETS brackets inside one another;
    no NUL and no half of a surrogate pair, which no text encoder and no file takes.
    """
    checked = _with_checked_characters(text, name, LONGEST_TEXT)
    _check_line(checked, name)
    return checked


def checked_lines(text: object, name: str) -> str:
    """A text with one line a picture: LONGEST_LIST characters, MOST_LINES lines, each one as `checked_text` takes it.

    Raises ValueError with the line.
    """
    checked = _with_checked_characters(text, name, LONGEST_LIST)
    lines = checked.splitlines()
    if len(lines) > MOST_LINES:
        raise ValueError(f"{_input(name)} has {len(lines):,} lines; at most {MOST_LINES:,} are read: give fewer.")
    for number, line in enumerate(lines, 1):
        _check_length(line, f"{name}, line {number},", LONGEST_TEXT)
        _check_line(line, f"{name}, line {number},")
    return checked


def checked_items(items: Sequence, name: str, what: str) -> Sequence:
    """The items, at most MOST_ITEMS, or ValueError. what: what they are, as a plural ("attributes")."""
    if len(items) > MOST_ITEMS:
        raise ValueError(f"{_input(name)} has {len(items):,} {what}; at most {MOST_ITEMS} are read: give fewer.")
    return items


def quoted(text: str, longest: int = 60) -> str:
    """The text as a sentence quotes it: in quotes, its end left out where it is long."""
    return repr(text if len(text) <= longest else text[:longest] + "…")


def _with_checked_characters(text: object, name: str, longest: int) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{_input(name)} is a {type(text).__name__}; a text is expected: connect a STRING.")
    _check_length(text, name, longest)
    bad = text.find("\0")
    if bad >= 0:
        raise ValueError(f"{_input(name)} has a NUL character at place {bad + 1}, which is no text: remove it.")
    half = _SURROGATE.search(text)
    if half:
        raise ValueError(
            f"{_input(name)} has half a character (U+{ord(half.group()):04X}) at place {half.start() + 1}, which is no "
            "text: write that place again."
        )
    return text


def _check_length(text: str, name: str, longest: int) -> None:
    if len(text) > longest:
        raise ValueError(f"{_input(name)} has {len(text):,} characters; at most {longest:,} are read: shorten it.")


def _check_line(text: str, name: str) -> None:
    word = max(map(len, text.split()), default=0)
    if word > LONGEST_WORD:
        raise ValueError(
            f"{_input(name)} has a word of {word:,} characters; at most {LONGEST_WORD:,} are read: put spaces into it."
        )
    deepest = deepest_brackets(text)
    if deepest > DEEPEST_BRACKETS:
        raise ValueError(
            f"{_input(name)} has {deepest:,} brackets inside one another; at most {DEEPEST_BRACKETS} are read: "
            r"write \( for a bracket that is meant as text."
        )


def deepest_brackets(text: str) -> int:
    r"""How many round brackets are open at once at most; \( and \) do not count."""
    depth = deepest = 0
    for match in _BRACKET.finditer(text):
        if match.group() == "(":
            depth += 1
            deepest = max(deepest, depth)
        elif match.group() == ")":
            depth = max(0, depth - 1)
    return deepest


def _input(name: str) -> str:
    return f"The input {name}"
