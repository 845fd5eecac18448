"""A wardrobe of drawn garments: one flat-lay and one caption each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..craft.garments import CATEGORIES, ID_OF_LABEL
from .captions import garment_caption
from .figure import random_figure
from .garment import KINDS, random_garment
from .picture import render

# What can be drawn, as the wardrobe calls it; two tops for each bottom.
DRAWN = tuple(category.label for category in CATEGORIES if category.id in KINDS)
_TURNS = {
    "tops and bottoms": ("upper", "lower", "upper"),
    "all": ("upper", "lower", "dress", "upper", "shoes", "bag", "lower", "dress"),
}


def draw_wardrobe(
    seed: int, count: int, garments: str, width: int, height: int, drawn: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, list[str]]:
    """(flat-lays uint8 [count,height,width,3] on white, their captions). Garment i is the same at every count and size.

    garments: "tops and bottoms", "all" or a category. drawn: called after each garment.
    """
    turns, flats, captions = _TURNS.get(garments, (garments,)), [], []
    for number in range(count):
        rng = np.random.Generator(np.random.PCG64([seed, number, 62]))
        garment = random_garment(rng, ID_OF_LABEL[turns[number % len(turns)]])
        spec = replace(random_figure(0, ()), garments=(garment,))
        flats.append(render(spec, width, height, ("flat",)).flats[0])
        captions.append(garment_caption(garment)["text"])
        drawn()
    return np.stack(flats), captions
