"""Which attributes of a drawn figure can be seen in its picture at all: only those are counted by the design bench.

A raglan seam under long hair, the hem of shorts under a coat, the cuffs of a shirt behind the back: when no pixel tells
them apart, no picture can be right or wrong. An attribute counts as seen when every other value that this kind of
garment can have would change the drawing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from ...croquis import render
from ...croquis.figure import FigureSpec
from ...croquis.garment import KINDS, GarmentSpec, random_garment

PIXELS = 12  # of 192 x 256 that another value must change
FABRIC_PIXELS = 300  # that another fabric must change: pattern and colours of less cannot be told
LEVELS = 24  # of 255: smaller changes are not counted
ATTRIBUTES = {
    "length": -1,
    "hem": -1,
    "sleeve length": 0,
    "sleeve type": 0,
    "collar": 0,
}  # 0: of the top, -1: the bottom

FABRIC = {
    place: tuple(f"{place} {what}" for what in ("colour", "second colour", "pattern")) for place in ("top", "bottom")
}


def seen(spec: FigureSpec, said: dict[str, str], picture: np.ndarray) -> dict[str, str]:
    """`said` (attributes_of) without what cannot be seen in `picture`, the drawing of `spec`."""
    worn = [row for row, garment in enumerate(spec.garments) if garment.category in ("upper", "lower", "overall")]

    def changed(row: int, garment: GarmentSpec) -> int:
        garments = (*spec.garments[:row], garment, *spec.garments[row + 1 :])
        other = render(replace(spec, garments=garments), picture.shape[1], picture.shape[0], ("person",)).person
        return int((np.abs(other.astype(int) - picture).max(2) > LEVELS).sum())

    kept = dict(said)
    for name, place in ATTRIBUTES.items():
        row, field = worn[place], name.replace(" ", "_")
        garment = spec.garments[row]
        others = [value for value in values_of(garment.kind, field) if value != getattr(garment, field)]
        if any(changed(row, replace(garment, **{field: value})) < PIXELS for value in others):
            kept.pop(name, None)
    for name, row in (("top", worn[0]), ("bottom", worn[-1])):
        garment = spec.garments[row]
        inverse = tuple(tuple((level + 128) % 256 for level in colour) for colour in garment.colours)
        if changed(row, replace(garment, colours=inverse)) < FABRIC_PIXELS:
            kept = {key: value for key, value in kept.items() if key not in FABRIC[name]}
    return kept


@cache
def values_of(kind: str, field: str, samples: int = 200) -> tuple[str, ...]:
    """The values of a field that drawn garments of a kind have."""
    category = next(name for name, kinds in KINDS.items() if kind in kinds)
    made = (random_garment(np.random.default_rng(seed), category, kind) for seed in range(samples))
    return tuple(sorted({getattr(garment, field) for garment in made}))
