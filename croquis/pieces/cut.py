"""Garments cut into pieces, in drawing order."""

from __future__ import annotations

from ..body import CENTRE_X, HIP_JOINT_X
from ..garment import GarmentSpec
from .bodice import bodice
from .piece import FIT_EASE, Piece
from .skirt import SKIRT_HEM, skirt, skirt_flare
from .sleeve import sleeve
from .trousers import hips, trouser_legs

TOP_HEM = {"ultra-short": 93.0, "short": 117.0, "knee": 166.0}


def cut(spec: GarmentSpec) -> list[Piece]:
    """All pieces of an upper, lower or overall garment in drawing order (sleeves last)."""
    sleeves = [] if spec.sleeve_length == "sleeveless" else [sleeve(spec, side) for side in (-1, 1)]
    if spec.category == "upper":
        hem_y = TOP_HEM[spec.length]
        flare = (
            18.6
            + FIT_EASE[spec.fit]
            + (10.0 if spec.kind == "coat" else 0.5)
            + (5.0 if spec.hem in ("flared", "ruffle", "wavy") else 0.0)
        )
        return bodice(spec, hem_y, flare, spec.kind == "coat") + sleeves
    if spec.kind == "skirt":
        return skirt(spec)
    if spec.category == "lower":
        return [hips(spec, 88.5), *trouser_legs(spec)]
    if spec.kind == "jumpsuit":
        top = bodice(spec, 94.0, 20.0, False)
        return [hips(spec, 88.0), *trouser_legs(spec), *top, *sleeves]
    hem_y = SKIRT_HEM[spec.length]
    return bodice(spec, hem_y, skirt_flare(spec, hem_y), True) + sleeves


def print_places(spec: GarmentSpec) -> tuple[tuple[float, float], ...]:
    """Where a print's motif sits (canonical design units): chest, skirt front, or one thigh."""
    thigh = (CENTRE_X + HIP_JOINT_X + 0.6, 139.0)
    chest = (CENTRE_X, 78.0 if spec.collar not in ("u", "v", "square", "tailor") else 83.0)
    if spec.kind == "skirt":
        return ((CENTRE_X, min(140.0, SKIRT_HEM[spec.length] - 19.0)),)
    if spec.category == "lower":
        return (thigh,)
    if spec.kind == "dress":
        return (chest, (CENTRE_X, min(146.0, SKIRT_HEM[spec.length] - 18.0)))
    return (chest,)
