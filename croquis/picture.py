"""Pictures of a figure: scenes drawn in colour, as masks, coordinates, labels or lines."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import skia

from . import accessory, agnostic, head
from .body import CANVAS, Skeleton
from .fabric import solid
from .figure import FigureSpec
from .garment import GarmentSpec
from .labels import draw_atr, draw_parts
from .pieces.cut import print_places
from .pose import build_skeleton, keypoints
from .scene import flat_scene, flat_zoom, garment_shader, person_scene
from .shape import Shape, draw, draw_coordinates, draw_sketch, draw_solid, polygon

WANT = ("person", "mask", "pose", "flat", "flat_mask", "coords", "parts", "sketch", "swatch")
SWATCH = 64.0
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
RAINBOW = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
    (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip


@dataclass
class Figure:
    """What was asked for; the rest is None. Pictures are uint8, see the fields' comments."""

    spec: FigureSpec
    keypoints: np.ndarray  # float32 [18,3], pixels and confidence
    person: np.ndarray | None = None  # [H,W,3]
    mask: np.ndarray | None = None  # [H,W] 0 or 255
    pose: np.ndarray | None = None  # [H,W,3] skeleton on black
    flats: list[np.ndarray] = field(default_factory=list)  # [H,W,3] each, on white
    flat_masks: list[np.ndarray] = field(default_factory=list)
    coords: np.ndarray | None = None  # float32 [H//8,W//8,2] flat-lay pixels of the cell's centre
    owner: np.ndarray | None = None  # int8 [H//8,W//8] index of the visible garment, or -1
    parts: np.ndarray | None = None  # uint8 [H,W] numbers of craft.labels.PARTS
    atr: np.ndarray | None = None  # uint8 [H,W] numbers of craft.labels.ATR (with `parts`)
    sketch: np.ndarray | None = None  # uint8 [H,W] dark lines on white
    swatches: list[np.ndarray] = field(default_factory=list)  # [s,s,3] each


Placing = tuple[int, int, float, float, float]  # width, height, scale, dx, dy


class _Sheet:
    """A pixel buffer with a canvas in design units."""

    def __init__(self, width: int, height: int, scale: float, dx: float, dy: float, colour: tuple) -> None:
        word = int.from_bytes(bytes((*colour, 255)), sys.byteorder)
        self.pixels = np.full((height, width), word, np.uint32).view(np.uint8).reshape(height, width, 4)
        self.canvas = skia.Surface(self.pixels).getCanvas()
        self.canvas.translate(dx, dy)
        self.canvas.scale(scale, scale)

    def zoom(self, category: str) -> None:
        factor, x, y = flat_zoom(category)
        if factor != 1.0:
            self.canvas.translate(CANVAS[0] / 2, CANVAS[1] / 2)
            self.canvas.scale(factor, factor)
            self.canvas.translate(-x, -y)

    def rgb(self) -> np.ndarray:
        out = np.empty((*self.pixels.shape[:2], 3), np.uint8)
        for channel in range(3):  # six times as fast as one strided copy
            out[..., channel] = self.pixels[..., channel]
        return out


def _paper(sheet: _Sheet, spec: FigureSpec, skeleton: Skeleton) -> None:
    canvas, bg = sheet.canvas, spec.background
    w, h = CANVAS
    gradient = skia.GradientShader.MakeLinear([skia.Point(0, 0), skia.Point(0, h)], [solid(bg.top), solid(bg.bottom)])
    canvas.drawPaint(skia.Paint(Shader=gradient))
    tint = accessory.darker(bg.bottom, 0.94)
    if bg.panel == 1:
        canvas.drawRect(skia.Rect(-w, 222, 2 * w, 2 * h), skia.Paint(AntiAlias=True, Color=solid(tint, 150)))
    elif bg.panel == 2:
        canvas.drawOval(skia.Rect(18, 26, 174, 300), skia.Paint(AntiAlias=True, Color=solid(tint, 120)))
    (ax, ay), (bx, by) = skeleton.toes
    glow = skia.GradientShader.MakeRadial(
        skia.Point(0, 0), 1.0, [skia.Color(40, 34, 50, 95), skia.Color(40, 34, 50, 0)]
    )
    for x, y, rx, ry in (((ax + bx) / 2 + 5, (ay + by) / 2 + 1, abs(bx - ax) / 2 + 26, 7.0),):
        canvas.save()
        canvas.translate(x, y)
        canvas.scale(rx, ry)
        canvas.drawCircle(0, 0, 1, skia.Paint(AntiAlias=True, Shader=glow))
        canvas.restore()


def _draw_pose(sheet: _Sheet, points: np.ndarray) -> None:
    canvas = sheet.canvas
    paint = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=3.4, StrokeCap=skia.Paint.kRound_Cap)
    for (a, b), colour in zip(LIMBS, RAINBOW, strict=False):
        paint.setColor(solid((int(colour[0] * 0.6), int(colour[1] * 0.6), int(colour[2] * 0.6))))
        canvas.drawLine(*points[a, :2].tolist(), *points[b, :2].tolist(), paint)
    for (x, y), colour in zip(points[:, :2].tolist(), RAINBOW, strict=True):
        canvas.drawCircle(x, y, 1.9, skia.Paint(AntiAlias=True, Color=solid(colour)))


def _draw_mask(sheet: _Sheet, spec: FigureSpec, skeleton: Skeleton, face: list[Shape]) -> None:
    """White where something may be repainted; hands, head, hair and (unless shoes are worn) feet stay out."""
    categories = tuple(sorted({g.category for g in spec.garments}))
    white, black = skia.Paint(AntiAlias=False, Color=0xFFFFFFFF), 0xFF000000
    for region in agnostic.regions(skeleton, categories):
        sheet.canvas.drawPath(polygon(region), white)
    # A hand behind the body, or under the other arm's sleeve, is hidden or not, as the garment has it: it stays in.

    front = [s for i, s in enumerate((-1, 1)) if spec.pose.arm_names[i] != "behind"]
    for s in front:
        if s == 1 and front[0] == -1 and {"upper", "overall"} & set(categories):
            sheet.canvas.drawPath(polygon(agnostic.sleeve_region(skeleton, 1)), white)
        draw_solid(sheet.canvas, accessory.hand(skeleton, s), black)
    keep = []
    if "shoe" not in categories:
        for s in (-1, 1):
            keep += [accessory.foot(skeleton, s, 0.3), accessory.base_shoe(skeleton, s)]
    for shape in [*keep, *face]:
        draw_solid(sheet.canvas, shape, black)


@lru_cache(maxsize=1)
def _coordinate_pixels() -> np.ndarray:
    h, w = int(CANVAS[1]), int(CANVAS[0])
    pixels = np.empty((h, w, 4), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(w)[None], np.arange(h)[:, None]
    pixels[..., 2], pixels[..., 3] = 255, 255
    return pixels


def _coords(scene: list[Shape], spec: FigureSpec, width: int, height: int, scale: float, dx: float, dy: float) -> tuple:
    """Flat-lay coordinates and owner of each 8x8 cell, read at the cell's centre."""
    cells = _Sheet(width // 8, height // 8, scale / 8, dx / 8, dy / 8, (0, 0, 0))
    shaders = {}
    for owner in range(len(spec.garments)):
        pixels = _coordinate_pixels().copy()
        pixels[..., 2] = owner + 1
        shaders[owner] = skia.Image.fromarray(pixels).makeShader(
            skia.TileMode.kClamp, skia.TileMode.kClamp, skia.SamplingOptions(skia.FilterMode.kNearest)
        )
    for shape in scene:
        if shape.owner >= 0:
            draw_coordinates(cells.canvas, shape, shaders[shape.owner])
        else:
            draw_solid(cells.canvas, shape, 0xFF000000)
    owners = cells.pixels[..., 2].astype(np.int8) - 1
    coords = cells.pixels[..., :2].astype(np.float32) + 0.5
    for index, garment in enumerate(spec.garments):
        factor, cx, cy = flat_zoom(garment.category)
        if factor != 1.0:
            here = owners == index
            coords[here] = (coords[here] - [cx, cy]) * factor + [CANVAS[0] / 2, CANVAS[1] / 2]
    return coords * np.float32(scale) + np.array([dx, dy], np.float32), owners


def _flat_mask(garment: GarmentSpec, size: Placing) -> np.ndarray:
    sheet = _Sheet(*size, (0, 0, 0))
    sheet.zoom(garment.category)
    for shape in flat_scene(garment, size[2]):
        draw_solid(sheet.canvas, shape, 0xFFFFFFFF)
    return np.ascontiguousarray(sheet.pixels[..., 0])


def _labels(scene: list[Shape], spec: FigureSpec, size: Placing) -> tuple[np.ndarray, np.ndarray]:
    parts, atr = _Sheet(*size, (0, 0, 0)), _Sheet(*size, (0, 0, 0))
    draw_parts(parts.canvas, scene)
    draw_atr(atr.canvas, scene, spec.garments)
    return np.ascontiguousarray(parts.pixels[..., 0]), np.ascontiguousarray(atr.pixels[..., 0])


def _swatch(garment: GarmentSpec, scale: float) -> np.ndarray:
    """A square of the garment's fabric, SWATCH design units wide; of a print, its motif."""
    side = round(SWATCH * scale)
    x, y = print_places(garment)[0] if garment.pattern == "print" else (CANVAS[0] / 2, CANVAS[1] / 2)
    sheet = _Sheet(side, side, scale, scale * (SWATCH / 2 - x), scale * (SWATCH / 2 - y), garment.colours[0])
    shader = garment_shader(garment, scale)
    if shader is not None:
        sheet.canvas.drawPaint(skia.Paint(Shader=shader))
    return sheet.rgb()


def render(
    spec: FigureSpec, width: int = 192, height: int = 256, want: tuple[str, ...] = ("person", "mask", "pose", "flat")
) -> Figure:
    """Pictures of a figure, uint8, `width` x `height`. `want`: any of person, mask, pose, flat, coords, parts,
    sketch, swatch, flat_mask.

    The same figure at every size: the drawing is scaled to fit (192:256) and centred. Raises ValueError for a size
    below 48 or an unknown wish.
    """
    if width < 48 or height < 48:
        raise ValueError(f"Croquis size is {width}x{height}; each side must be at least 48 pixels.")
    unknown = [w for w in want if w not in WANT]
    if unknown:
        raise ValueError(f"Croquis cannot draw {', '.join(unknown)}; it can draw: {', '.join(WANT)}.")
    skeleton = build_skeleton(spec.body, spec.pose)
    scale = min(width / CANVAS[0], height / CANVAS[1])
    dx, dy = (width - CANVAS[0] * scale) / 2, (height - CANVAS[1] * scale) / 2
    size = (width, height, scale, dx, dy)
    design = keypoints(skeleton)
    points = design.copy()
    points[:, :2] = points[:, :2] * scale + (dx, dy)
    out = Figure(spec, points)
    face = head.head(skeleton)
    if {"person", "coords", "parts", "sketch"} & set(want):
        scene = person_scene(spec, skeleton, face, scale, "coords" in want)
    if "person" in want:
        sheet = _Sheet(*size, (255, 255, 255))
        _paper(sheet, spec, skeleton)
        for shape in scene:
            draw(sheet.canvas, shape)
        out.person = sheet.rgb()
    if "mask" in want:
        sheet = _Sheet(*size, (0, 0, 0))
        _draw_mask(sheet, spec, skeleton, face)
        out.mask = np.ascontiguousarray(sheet.pixels[..., 0])
    if "pose" in want:
        sheet = _Sheet(*size, (0, 0, 0))
        _draw_pose(sheet, design)
        out.pose = sheet.rgb()
    if "flat" in want:
        for garment in spec.garments:
            sheet = _Sheet(*size, (255, 255, 255))
            sheet.zoom(garment.category)
            for shape in flat_scene(garment, scale * flat_zoom(garment.category)[0]):
                draw(sheet.canvas, shape)
            out.flats.append(sheet.rgb())
    if "flat_mask" in want:
        out.flat_masks = [_flat_mask(garment, size) for garment in spec.garments]
    if "parts" in want:
        out.parts, out.atr = _labels(scene, spec, size)
    if "sketch" in want:
        sheet = _Sheet(*size, (255, 255, 255))
        for shape in scene:
            draw_sketch(sheet.canvas, shape)
        out.sketch = np.ascontiguousarray(sheet.pixels[..., 0])
    if "swatch" in want:
        out.swatches = [_swatch(garment, scale) for garment in spec.garments]
    if "coords" in want:
        out.coords, out.owner = _coords(scene, spec, *size)
    return out
