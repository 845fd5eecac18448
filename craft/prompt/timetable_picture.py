"""The picture of a timetable: a row for each stage with its words, and a strip of the run's steps below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .timetable import Step, Timetable, span, steps_said, unreached, warnings

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

PAPER, INK, FAINT, ALARM = (250, 249, 246), (34, 34, 38), (128, 128, 132), (190, 40, 40)
# Told apart by lightness too, from noise (dark) to picture (light), for eyes that do not see all hues.
COLOURS = (
    (58, 64, 110), (44, 102, 140), (36, 138, 140), (70, 165, 112), (146, 184, 84), (222, 184, 78),
    (240, 148, 100), (246, 178, 178),
)  # fmt: skip
MARGIN, SWATCH, TEXT_LEFT, LINE = 24, 26, 250, 22


def draw(timetable: Timetable, steps: Sequence[Step], width: int = 1024) -> np.ndarray:
    """uint8 [height,width,3]. Words that joined in a stage are drawn dark, those said before it grey; unreached stages
    red.
    """
    font, small = ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    rows = [
        _wrapped(_pieces(timetable, index), font, width - TEXT_LEFT - MARGIN) for index in range(len(timetable.stages))
    ]
    heights = [max(2, len(lines)) * LINE + 14 for lines in rows]
    sentences = [line for text in warnings(timetable, steps) for line in _plain_lines(text, font, width - 2 * MARGIN)]
    height = MARGIN + sum(heights) + 86 + LINE * len(sentences) + MARGIN
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture)
    missed, y = unreached(timetable, steps), MARGIN
    for index, (lines, row_height) in enumerate(zip(rows, heights)):
        _row_head(pen, timetable, steps, index, y, font, small, index in missed)
        for number, line in enumerate(lines):
            x: float = TEXT_LEFT
            for word, new in line:
                pen.text((x, y + number * LINE), word, font=font, fill=INK if new else FAINT)
                x += font.getlength(word + " ")
        y += row_height
    _strip(pen, steps, y + 8, width, small)
    for number, sentence in enumerate(sentences):
        pen.text((MARGIN, y + 86 + number * LINE), sentence, font=font, fill=ALARM)
    return np.array(picture)


def colour(stage: int) -> tuple[int, int, int]:
    return COLOURS[stage % len(COLOURS)]


def _row_head(
    pen: ImageDraw.ImageDraw,
    timetable: Timetable,
    steps: Sequence[Step],
    index: int,
    y: int,
    font: Font,
    small: Font,
    missed: bool,
) -> None:
    stage = timetable.stages[index]
    pen.rectangle(
        (MARGIN, y, MARGIN + SWATCH, y + SWATCH),
        fill=None if missed else colour(index),
        outline=ALARM if missed else colour(index),
        width=2,
    )
    pen.text((MARGIN + SWATCH + 12, y), f"level {span(stage)}", font=font, fill=INK)
    pen.text((MARGIN + SWATCH + 12, y + LINE), steps_said(index, steps), font=small, fill=ALARM if missed else FAINT)


def _strip(pen: ImageDraw.ImageDraw, steps: Sequence[Step], y: int, width: int, small: Font) -> None:
    """One cell a step in its stage's colour; numbers and sigmas where they fit."""
    cell = (width - 2 * MARGIN) / len(steps)
    every = max(1, round(44 / cell + 0.5)) if cell < 44 else 1
    for index, step in enumerate(steps):
        left = MARGIN + index * cell
        pen.rectangle((left, y, left + cell - (2 if cell > 6 else 0), y + 28), fill=colour(step.stage))
        if index % every == 0:
            pen.text((left, y + 32), str(step.number), font=small, fill=INK)
            pen.text((left, y + 48), f"{step.sigma:.3g}", font=small, fill=FAINT)


def _pieces(timetable: Timetable, index: int) -> list[tuple[str, bool]]:
    """The stage's words with a mark on those that the stage before did not have in common."""
    words = timetable.stages[index].text.split()
    before = timetable.stages[index - 1].text.split() if index else []
    same = 0
    while same < min(len(words), len(before)) and words[same].rstrip(",") == before[same].rstrip(","):
        same += 1
    return [(word, place >= same) for place, word in enumerate(words)] or [("(empty)", False)]


def _wrapped(pieces: list[tuple[str, bool]], font: Font, width: int) -> list[list[tuple[str, bool]]]:
    lines: list[list[tuple[str, bool]]] = [[]]
    used = 0.0
    for word, new in pieces:
        for part in _fitting(word, font, width):
            length = font.getlength(part + " ")
            if lines[-1] and used + length > width:
                lines.append([])
                used = 0.0
            lines[-1].append((part, new))
            used += length
    return lines


def _fitting(word: str, font: Font, width: int) -> list[str]:
    """A word cut into parts that fit a line (a caption without spaces can be longer than one)."""
    parts = []
    while font.getlength(word + " ") > width and len(word) > 1:
        fit = max(n for n in range(1, len(word) + 1) if n == 1 or font.getlength(word[:n] + " ") <= width)
        comma = word.rfind(",", 0, fit) + 1
        parts.append(word[: comma or fit])
        word = word[comma or fit :]
    return [*parts, word] if word else parts


def _plain_lines(text: str, font: Font, width: int) -> list[str]:
    return [
        " ".join(word for word, _ in line) for line in _wrapped([(word, True) for word in text.split()], font, width)
    ]
