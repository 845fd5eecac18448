"""Several people in one outfit, as stacked arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..craft.body.labels import colour
from ..craft.garments import BY_ID
from .captions import figure_caption
from .choice import Wishes, figure_of
from .garment import GarmentSpec
from .picture import render

WANT = ("person", "mask", "pose", "parts", "sketch")


@dataclass
class People:
    """uint8 pictures [N,H,W,3], maps [N,H,W], joints a list of float32 [1,18,3]; flats and swatch by name, [1,H,W,3]
    each.
    """

    person: np.ndarray
    mask: np.ndarray
    pose: np.ndarray
    parts: np.ndarray
    atr: np.ndarray
    sketch: np.ndarray
    joints: list[np.ndarray]
    flats: dict[str, np.ndarray]
    swatch: np.ndarray
    caption: dict

    def coloured(self, labels: np.ndarray) -> np.ndarray:
        """A label map [N,H,W] as pictures [N,H,W,3]."""
        return np.stack([colour(one) for one in labels])


def slot(garment: GarmentSpec) -> str:
    """Where a garment's flat-lay goes among the outputs."""
    if garment.open:
        return "jacket"
    return BY_ID[garment.category].drawn_as


def draw_people(
    seed: int,
    outfit_seed: int,
    people: int,
    width: int,
    height: int,
    wishes: Wishes,
    step: Callable[[], None] = lambda: None,
) -> People:
    """People of the seeds `seed`, `seed + 1` ... all wearing the outfit of `outfit_seed`; `step` is called after
    each.
    """
    first = figure_of(seed, outfit_seed, wishes)
    flat = render(first, width, height, ("flat", "swatch"))
    drawn = []
    for index in range(people):
        drawn.append(render(figure_of(seed + index, outfit_seed, wishes), width, height, WANT))
        step()

    def stack(name: str) -> np.ndarray:
        return np.stack([getattr(one, name) for one in drawn])

    return People(
        person=stack("person"),
        mask=stack("mask"),
        pose=stack("pose"),
        parts=stack("parts"),
        atr=stack("atr"),
        sketch=stack("sketch"),
        joints=[one.keypoints[None] for one in drawn],
        flats={slot(g): picture[None] for g, picture in zip(first.garments, flat.flats, strict=True)},
        swatch=flat.swatches[0][None],
        caption=figure_caption(first),
    )
