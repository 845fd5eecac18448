"""Attention maps of attribute pairs as one picture: a row a pair, before and after binding, with the divergence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL, GAP, HEAD, LABEL = 128, 6, 26, 34
HEADINGS = ("words before", "noun before", "words after", "noun after")
PAPER, INK = (250, 248, 244), (40, 38, 36)


@dataclass(frozen=True)
class PairMaps:
    """One pair: its label, four maps [h, w] (modifiers and noun before, modifiers and noun after; each summing to 1)
    and the Jensen–Shannon divergence in nats before and after."""

    label: str
    maps: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    before: float
    after: float


def draw(pairs: Sequence[PairMaps]) -> np.ndarray:
    """uint8 [H, W, 3]. The four maps of a pair share one scale, so that a map that grew stronger looks stronger."""
    width = GAP + len(HEADINGS) * (CELL + GAP)
    sheet = Image.new("RGB", (width, HEAD + len(pairs) * (CELL + LABEL + GAP)), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, heading in enumerate(HEADINGS):
        pen.text((GAP + column * (CELL + GAP), 6), heading, INK, font)
    for row, pair in enumerate(pairs):
        top = HEAD + row * (CELL + LABEL + GAP)
        text = f"{pair.label.replace('→', '>')}    JSD {pair.before:.4f} > {pair.after:.4f}"
        pen.text((GAP, top + 8), text, INK, font)
        largest = max(float(one.max()) for one in pair.maps) or 1.0
        for column, one in enumerate(pair.maps):
            sheet.paste(_heat(one / largest), (GAP + column * (CELL + GAP), top + LABEL))
    return np.asarray(sheet)


def _heat(values: np.ndarray) -> Image.Image:
    """Dark blue, violet, orange, light yellow for 0..1, by straight lines between the four."""
    stops = np.array([(12, 10, 50), (130, 30, 110), (240, 120, 40), (255, 250, 190)], float)
    x = np.clip(values, 0, 1) * (len(stops) - 1)
    low = np.minimum(x.astype(int), len(stops) - 2)
    part = (x - low)[..., None]
    colours = stops[low] * (1 - part) + stops[low + 1] * part
    return Image.fromarray(colours.round().astype(np.uint8)).resize((CELL, CELL), Image.Resampling.NEAREST)
