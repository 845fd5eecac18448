"""Label maps of a figure: the pack's bare parts (left and right apart) and ATR's eighteen classes."""

from __future__ import annotations

from functools import cache

import numpy as np
import skia

from ..craft.body.labels import ATR, PARTS
from .body import CANVAS, CENTRE_X, NECK_Y
from .garment import GarmentSpec
from .shape import Shape, draw_solid, points, triangles

HIPS_FROM, THIGHS_FROM, SHINS_FROM = 103.0, 124.0, 173.0  # torso frame (skirts, coats), canonical height
SKIN = {"arm": "arm", "hand": "arm", "leg": "leg", "foot": "leg"}
BASE = {"base top": "upper-clothes", "base legs": "pants", "base shoe": "shoe"}


def side_name(side: int) -> str:
    """The person's own side: image left is right."""
    return "right" if side < 0 else "left"


def part_of(shape: Shape) -> str:
    """The one part of a shape that has no frame, or what its edge falls back to."""
    if shape.frame in ("torso", ""):
        plain = {"hair": "hair", "face": "face", "neck": "neck", "bag": "background"}
        if shape.label in ("hand", "foot", "shoe", "base shoe"):
            return f"{side_name(shape.side)} {'hand' if shape.label == 'hand' else 'foot'}"
        return plain.get(shape.label, "torso")
    return f"{side_name(shape.side)} {'upper arm' if shape.frame == 'arm' else 'thigh'}"


def atr_of(shape: Shape, garments: tuple[GarmentSpec, ...]) -> str:
    """The ATR class of a shape. The skin of neck and trunk counts as face, as ATR's parsers have it."""
    if shape.owner >= 0:
        garment = garments[shape.owner]
        if garment.category == "shoe":
            return f"{side_name(shape.side)}-shoe"
        return {"upper": "upper-clothes", "overall": "dress", "bag": "bag"}.get(
            garment.category, "skirt" if garment.kind == "skirt" else "pants"
        )
    if shape.label in BASE:
        name = BASE[shape.label]
        return f"{side_name(shape.side)}-{name}" if name == "shoe" else name
    if shape.label in SKIN:
        return f"{side_name(shape.side)}-{SKIN[shape.label]}"
    return "hair" if shape.label == "hair" else "face"


@cache
def _frame_picture(frame: str, side: int) -> skia.Image:
    """Part numbers over a frame: the torso's canvas, or a strip along a limb (16 rows a segment, one before it)."""
    if frame == "torso":
        labels = np.full((int(CANVAS[1]), int(CANVAS[0])), PARTS.index("torso"), np.uint8)
        labels[: int(NECK_Y)] = PARTS.index("neck")
        labels[int(HIPS_FROM) :] = PARTS.index("hips")
        for name, x in (("right", slice(0, int(CENTRE_X))), ("left", slice(int(CENTRE_X), None))):
            labels[int(THIGHS_FROM) :, x] = PARTS.index(f"{name} thigh")
            labels[int(SHINS_FROM) :, x] = PARTS.index(f"{name} shin")
    else:
        upper, lower = ("upper arm", "forearm") if frame == "arm" else ("thigh", "shin")
        labels = np.full((64, 4), PARTS.index(f"{side_name(side)} {upper}"), np.uint8)
        labels[32:] = PARTS.index(f"{side_name(side)} {lower}")
        if frame == "leg":
            labels[:18] = PARTS.index("hips")
    pixels = np.repeat(labels[..., None], 4, 2)
    pixels[..., 3] = 255
    return skia.Image.fromarray(pixels)


def draw_parts(canvas: skia.Canvas, scene: list[Shape]) -> None:
    """Part numbers in all three channels; no anti-aliasing."""
    for shape in scene:
        number = PARTS.index(part_of(shape))
        draw_solid(canvas, shape, skia.Color(number, number, number))
        at = shape.frame_points
        if not shape.frame or at is None or shape.positions is None:
            continue
        if shape.frame != "torso":
            at = np.stack([np.full(len(at), 2.0), (at[:, 1] + 1.0) * 16.0], axis=1)
        shader = _frame_picture(shape.frame, shape.side).makeShader(
            skia.TileMode.kClamp, skia.TileMode.kClamp, skia.SamplingOptions(skia.FilterMode.kNearest)
        )
        canvas.save()
        canvas.clipPath(shape.path, skia.ClipOp.kIntersect, False)
        vertices = skia.Vertices(
            skia.Vertices.kTriangles_VertexMode, points(shape.positions), points(at), None, triangles(*shape.grid)
        )
        canvas.drawVertices(vertices, skia.Paint(Shader=shader), skia.BlendMode.kDst)
        canvas.restore()


def draw_atr(canvas: skia.Canvas, scene: list[Shape], garments: tuple[GarmentSpec, ...]) -> None:
    """ATR numbers in all three channels; no anti-aliasing."""
    for shape in scene:
        number = ATR.index(atr_of(shape, garments))
        draw_solid(canvas, shape, skia.Color(number, number, number))
