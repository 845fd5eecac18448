"""A sheet of labelled pictures, and a before/after picture. Plain PIL; pictures are uint8 [H,W,3]."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LOG = logging.getLogger(__name__)

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

PAPER, INK, FAINT = (250, 248, 245), (40, 38, 36), (120, 116, 112)
MARGIN = 12


def contact_sheet(
    pictures: Sequence[np.ndarray],
    labels: Sequence[str] = (),
    *,
    columns: int = 0,
    cell: tuple[int, int] = (0, 0),
    title: str = "",
) -> np.ndarray:
    """A grid of pictures, each fitted into a cell with its label below.

    labels: as many as pictures, or none. columns 0: about square. cell (0, 0): the largest picture's (width, height).
    Returns uint8 [H,W,3]. Raises ValueError without pictures, or with another number of labels.
    """
    if not len(pictures):
        raise ValueError("A contact sheet needs at least one picture; none was given.")
    if len(labels) not in (0, len(pictures)):
        raise ValueError(f"A contact sheet of {len(pictures)} pictures was given {len(labels)} labels.")
    columns = columns or max(1, round(len(pictures) ** 0.5 + 0.25))
    columns = min(columns, len(pictures))
    width = cell[0] or max(p.shape[1] for p in pictures)
    height = cell[1] or max(p.shape[0] for p in pictures)
    font = _font(max(10, width // 16))
    label_height = _line_height(font) + 6 if labels else 0
    heading = _font(max(14, width // 10))
    top = _line_height(heading) + MARGIN if title else 0
    rows = -(-len(pictures) // columns)
    sheet = Image.new(
        "RGB",
        (MARGIN + columns * (width + MARGIN), MARGIN + top + rows * (height + label_height + MARGIN)),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((MARGIN, MARGIN), title, INK, heading)
    for index, picture in enumerate(pictures):
        left = MARGIN + index % columns * (width + MARGIN)
        upper = MARGIN + top + index // columns * (height + label_height + MARGIN)
        fitted = _fit(picture, width, height)
        sheet.paste(fitted, (left + (width - fitted.width) // 2, upper + (height - fitted.height) // 2))
        if labels:
            draw.text((left, upper + height + 2), _shorten(labels[index], font, width), FAINT, font)
    return np.asarray(sheet)


def before_after(before: np.ndarray, after: np.ndarray, *, layout: str, position: float = 0.5) -> np.ndarray:
    """Two pictures in one: "side by side", "split" (one picture, divided at `position` of its width) or "difference".

    after is scaled to before's size. The difference is shown as brightness, ten times enlarged: black means equal.
    Raises ValueError for another layout.
    """
    height, width = before.shape[:2]
    if after.shape[:2] != before.shape[:2]:
        after = np.asarray(Image.fromarray(after).resize((width, height), Image.Resampling.LANCZOS))
    if layout == "side by side":
        return contact_sheet([before, after], ["before", "after"], columns=2)
    if layout == "split":
        column = round(width * position)
        joined = np.concatenate([before[:, :column], after[:, column:]], 1)
        joined[:, max(0, column - 1) : column + 1] = 255
        return joined
    if layout == "difference":
        return np.clip(np.abs(before.astype(np.int32) - after) * 10, 0, 255).astype(np.uint8)
    raise ValueError(f"Layout {layout!r} is unknown; choose side by side, split or difference.")


def _fit(picture: np.ndarray, width: int, height: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture))
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _font(size: int) -> Font:
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError):  # Pillow without FreeType has one bitmap font only
        LOG.info("Pillow has no FreeType here, so sheets are labelled in its one bitmap font")
        return ImageFont.load_default()


def _line_height(font: Font) -> int:
    box = font.getbbox("Ag")
    return int(box[3]) + 2


def _shorten(text: str, font: Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
