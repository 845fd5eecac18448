"""Scenes and pictures: a figure or a flat-lay is a list of shapes, drawn in colour, as coordinates or as labels."""
from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import skia

from . import accessory, agnostic, head
from .body import ARM_S, ARM_W, CANVAS, CENTRE_X, LEG_S, LEG_W, TORSO_W, TORSO_Y, Body, Skeleton, arm_warp, leg_warp, torso_warp
from .cut import Piece, cut, print_places, texture_coordinates
from .fabric import fabric_shader, solid
from .figure import FigureSpec
from .garment import GarmentSpec
from .pose import CANONICAL, build_skeleton, keypoints
from .shape import Shape, draw, draw_coordinates, draw_solid, line, polygon

WANT = ("person", "mask", "pose", "flat", "coords", "parts", "sketch", "swatch")
FLAT_BODY = Body()
FLAT = build_skeleton(FLAT_BODY, CANONICAL)
LIMBS = ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0), (0, 14),
         (14, 16), (0, 15), (15, 17))
RAINBOW = ((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
           (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
           (255, 0, 170), (255, 0, 85))


@dataclass
class Figure:
    """What was asked for; the rest is None. Pictures are uint8, see the fields' comments."""

    spec: FigureSpec
    keypoints: np.ndarray                                    # float32 [18,3], pixels and confidence
    person: np.ndarray | None = None                         # [H,W,3]
    mask: np.ndarray | None = None                           # [H,W] 0 or 255
    pose: np.ndarray | None = None                           # [H,W,3] skeleton on black
    flats: list[np.ndarray] = field(default_factory=list)    # [H,W,3] each, on white
    flat_masks: list[np.ndarray] = field(default_factory=list)
    coords: np.ndarray | None = None                         # float32 [H//8,W//8,2] flat-lay pixels of the cell's centre
    owner: np.ndarray | None = None                          # int8 [H//8,W//8] index of the visible garment, or -1
    parts: np.ndarray | None = None
    atr: np.ndarray | None = None
    sketch: np.ndarray | None = None
    swatches: list[np.ndarray] = field(default_factory=list)


# ------------------------------------------------------------------ scenes

def _warp(skeleton: Skeleton, piece: Piece, pts: np.ndarray) -> np.ndarray:
    if piece.frame == "torso":
        return torso_warp(skeleton, pts)
    return (arm_warp if piece.frame == "arm" else leg_warp)(skeleton, piece.side, pts)


def garment_shape(skeleton: Skeleton, piece: Piece, spec: GarmentSpec, owner: int, shader: skia.Shader | None,
                  coords: bool = False) -> Shape:
    """A piece carried onto a skeleton."""
    mesh = piece.mesh.reshape(-1, 2)
    extra = [pts for pts, _, _ in piece.lines] + (piece.ink_lines or [])
    sizes = [len(piece.outline), len(mesh), *map(len, extra)]
    warped = np.split(_warp(skeleton, piece, np.concatenate([piece.outline, mesh, *extra])),
                      np.cumsum(sizes)[:-1])
    colour = spec.colours[piece.colour]
    ink = accessory.darker(colour, 0.30)
    inks = {"ink": (*ink, 225), "fold": (*accessory.darker(spec.colours[0], 0.36), 120), "light": (255, 255, 255, 90),
            "button": (*accessory.darker(spec.colours[0], 0.45 if sum(spec.colours[0]) > 300 else 2.2), 255)}
    strokes = [(pts, inks[kind], width) for pts, (_, width, kind) in zip(warped[2:], piece.lines, strict=False)]
    use = shader if piece.patterned else None
    return Shape(warped[0], colour, label=piece.part, ink=ink, strokes=strokes, positions=warped[1], grid=piece.mesh.shape[:2],
                 shade=piece.shade, texture=texture_coordinates(piece) if use is not None else None, shader=use, owner=owner,
                 canonical=_warp(FLAT, piece, mesh) if coords else None,
                 ink_lines=warped[-len(piece.ink_lines):] if piece.ink_lines else None)


@lru_cache(maxsize=256)
def _pieces(spec: GarmentSpec) -> tuple[Piece, ...]:
    return tuple(cut(spec))


def _shader(spec: GarmentSpec, scale: float) -> skia.Shader | None:
    return fabric_shader(spec.pattern, spec.colours, spec.period, spec.angle, spec.motif, scale, print_places(spec))


def _skin_limb(skeleton: Skeleton, side: int, arm: bool, colour: tuple, label: str, start: float = -1.0) -> Shape:
    s0, w0 = (ARM_S, ARM_W) if arm else (LEG_S, LEG_W)
    s = np.concatenate([s0[:2], np.linspace(s0[1], s0[-1], 16)[1:]])
    s = s[s >= start]          # a sleeve or trouser leg hides what lies above
    w = np.interp(s, s0, w0)
    inner = w if arm else w * np.interp(s, [0.9, 1.3, 1.9], [1.0, 0.86, 1.0])
    outline = np.concatenate([np.stack([w, s], 1), np.stack([-inner, s], 1)[::-1]])
    u = np.linspace(-1, 1, 4)
    mesh = np.stack([u[None] * (w[:, None] + 1.2), np.repeat(s[:, None], 4, 1)], -1)
    both = (arm_warp if arm else leg_warp)(skeleton, side, np.concatenate([outline, mesh.reshape(-1, 2)]))
    light = 1 - 0.26 * np.clip((u * side + 0.1) / 1.1, 0, 1) ** 1.5
    return Shape(both[:len(outline)], colour, label=label, ink=accessory.darker(colour, 0.4), positions=both[len(outline):],
                 grid=mesh.shape[:2], shade=np.repeat(light[None], len(s), 0), ink_width=1.3)


def _skin_torso(skeleton: Skeleton, colour: tuple, label: str, top: float, bottom: float, neckline: bool = False) -> Shape:
    ys = np.linspace(top, bottom, 14)
    w = np.interp(ys, TORSO_Y, TORSO_W) + (0.3 if neckline else 0.0)
    if neckline:
        w = np.minimum(w, np.interp(ys, [55, 62, 70], [12.6, 13.8, 17.6]))
    right = np.stack([CENTRE_X + w, ys], 1)
    left = np.stack([CENTRE_X - w, ys], 1)[::-1]
    dip = np.array([(CENTRE_X - 9, ys[0] + 0.5), (CENTRE_X - 6, ys[0] + 8), (CENTRE_X, ys[0] + 10), (CENTRE_X + 6, ys[0] + 8), (CENTRE_X + 9, ys[0] + 0.5)])
    outline = np.concatenate([right, left, dip]) if neckline else np.concatenate([right, left])
    u = np.linspace(-1, 1, 5)
    mesh = np.stack([CENTRE_X + u[None] * (np.maximum(w, 12)[:, None] + 1.2), np.repeat(ys[:, None], 5, 1)], -1)
    both = torso_warp(skeleton, np.concatenate([outline, mesh.reshape(-1, 2)]))
    light = 1 - 0.24 * np.clip(u, 0, 1) ** 1.5
    return Shape(both[:len(outline)], colour, label=label, ink=accessory.darker(colour, 0.4), positions=both[len(outline):],
                 grid=mesh.shape[:2], shade=np.repeat(light[None], len(ys), 0), ink_width=1.3)


def is_tucked(spec: FigureSpec) -> bool:
    """A slim or gathered top goes into the waistband: a rule of the garments alone, never chance."""
    upper = next((g for g in spec.garments if g.category == "upper"), None)
    lower = next((g for g in spec.garments if g.category == "lower"), None)
    return bool(upper and lower and upper.length == "short" and upper.fit == "slim"
                and upper.kind in ("tee", "shirt", "blouse", "tank"))


def person_scene(spec: FigureSpec, skeleton: Skeleton, scale: float, coords: bool = False) -> list[Shape]:
    """All shapes of the dressed figure from back to front."""
    body, skin = skeleton.body, skeleton.body.skin
    worn = {g.category for g in spec.garments}
    behind = [s for i, s in enumerate((-1, 1)) if spec.pose.arm_names[i] == "behind"]
    near = spec.pose.weight
    legs_order = (-near, near)
    shapes = head.back_hair(skeleton)
    made: dict[str, list[Shape]] = {"sleeve-1": [], "sleeve1": [], "upper": [], "lower": [], "leg-1": [], "leg1": [], "bag": [], "back": [], "hips": [],
                                    "shoe-1": [], "shoe1": [], "boot-1": [], "boot1": []}
    for owner, garment in enumerate(spec.garments):
        _add_garment(made, garment, owner, skeleton, scale, coords)
    arms = {s: [_skin_limb(skeleton, s, True, skin, "arm", 0.3 if made[f"sleeve{s}"] else -1.0), *made[f"sleeve{s}"], accessory.hand(skeleton, s)] for s in (-1, 1)}
    for s in behind:
        shapes += arms[s]
    bare_legs = bool({"lower", "overall"} & worn)
    for s in legs_order:
        shapes.append(_skin_limb(skeleton, s, False, skin if bare_legs else body.base, "leg"))
        shapes.append(accessory.foot(skeleton, s))
        if not made[f"leg{s}"]:
            shapes += made[f"shoe{s}"] or [accessory.base_shoe(skeleton, s)]
    shapes += [*made["back"], _skin_torso(skeleton, skin, "torso", 51.0, 116.0), head.neck(skeleton)]
    if not bare_legs:
        shapes.append(_skin_torso(skeleton, body.base, "torso", 92.0, 127.5))
    if not {"upper", "overall"} & worn:
        shapes.append(_skin_torso(skeleton, body.base, "torso", 56.0, 116.0, neckline=True))
    shapes += made["hips"]
    for s in legs_order:
        if made[f"leg{s}"]:
            shapes += [*(made[f"shoe{s}"] or [accessory.base_shoe(skeleton, s)]), *made[f"leg{s}"]]
    shapes += made["upper"] + made["lower"] if is_tucked(spec) else made["lower"] + made["upper"]
    bag_side = accessory.bag_anchor(skeleton)[2]
    for s in (-1, 1):
        if s not in behind:
            shapes += arms[s][:-1] + (made["bag"] if s == bag_side else []) + arms[s][-1:]
    if bag_side in behind:
        shapes += made["bag"]
    return shapes + head.head(skeleton)


def _add_garment(made: dict, garment: GarmentSpec, owner: int, skeleton: Skeleton, scale: float, coords: bool) -> None:
    if garment.category == "shoe":
        for s in (-1, 1):
            made[f"shoe{s}"] += accessory.shoe(skeleton, FLAT, garment, s, owner)
        return
    if garment.category == "bag":
        made["bag"] += accessory.bag(accessory.bag_anchor(skeleton)[:2], garment, owner)
        return
    shader = _shader(garment, scale)
    for piece in _pieces(garment):
        shape = garment_shape(skeleton, piece, garment, owner, shader, coords)
        key = piece.part if piece.part in ("back", "hips") else {"arm": f"sleeve{piece.side}", "leg": f"leg{piece.side}"}.get(piece.frame)
        made[key or ("lower" if garment.category == "lower" else "upper")].append(shape)


def flat_scene(spec: GarmentSpec, scale: float) -> list[Shape]:
    """The garment alone on the canonical skeleton."""
    if spec.category == "shoe":
        return [shape for s in (-1, 1) for shape in accessory.shoe(FLAT, FLAT, spec, s, 0)]
    if spec.category == "bag":
        return accessory.bag(accessory.CANONICAL_BAG, spec, 0)
    shader = _shader(spec, scale)
    return [garment_shape(FLAT, piece, spec, 0, shader) for piece in _pieces(spec)]


def flat_zoom(category: str) -> tuple[float, float, float]:
    """(zoom, centre x, centre y): shoes and bags are shown larger, in the middle of their flat-lay."""
    if category == "shoe":
        return accessory.SHOE_ZOOM, CENTRE_X, 219.0
    if category == "bag":
        return accessory.BAG_ZOOM, CENTRE_X, accessory.CANONICAL_BAG[1] + 19.0
    return 1.0, 0.0, 0.0


# ------------------------------------------------------------------ pictures

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
        for channel in range(3):          # six times as fast as one strided copy
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
    glow = skia.GradientShader.MakeRadial(skia.Point(0, 0), 1.0, [skia.Color(40, 34, 50, 95), skia.Color(40, 34, 50, 0)])
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
        paint.setColor(solid(tuple(int(c * 0.6) for c in colour)))
        canvas.drawLine(*points[a, :2].tolist(), *points[b, :2].tolist(), paint)
    for (x, y), colour in zip(points[:, :2].tolist(), RAINBOW, strict=True):
        canvas.drawCircle(x, y, 1.9, skia.Paint(AntiAlias=True, Color=solid(colour)))


def _draw_mask(sheet: _Sheet, spec: FigureSpec, skeleton: Skeleton) -> None:
    """White where something may be repainted; hands, head, hair and (unless shoes are worn) feet stay out."""
    categories = tuple(sorted({g.category for g in spec.garments}))
    white, black = skia.Paint(AntiAlias=False, Color=0xFFFFFFFF), 0xFF000000
    for region in agnostic.regions(skeleton, categories):
        sheet.canvas.drawPath(polygon(region), white)
    # a hand behind the body is hidden or not, depending on the garment: it stays inside the mask
    keep = [accessory.hand(skeleton, s) for i, s in enumerate((-1, 1)) if spec.pose.arm_names[i] != "behind"]
    if "shoe" not in categories:
        for s in (-1, 1):
            keep += [accessory.foot(skeleton, s, 0.3), accessory.base_shoe(skeleton, s)]
    for shape in [*keep, *head.head(skeleton)]:
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
            skia.TileMode.kClamp, skia.TileMode.kClamp, skia.SamplingOptions(skia.FilterMode.kNearest))
    for shape in scene:
        if shape.owner >= 0:
            draw_coordinates(cells.canvas, shape, shaders[shape.owner])
        else:
            draw_solid(cells.canvas, shape, 0xFF000000)
    owner = cells.pixels[..., 2].astype(np.int8) - 1
    coords = cells.pixels[..., :2].astype(np.float32) + 0.5
    for index, garment in enumerate(spec.garments):
        factor, cx, cy = flat_zoom(garment.category)
        if factor != 1.0:
            here = owner == index
            coords[here] = (coords[here] - [cx, cy]) * factor + [CANVAS[0] / 2, CANVAS[1] / 2]
    return coords * np.float32(scale) + np.array([dx, dy], np.float32), owner


def render(spec: FigureSpec, width: int = 192, height: int = 256, want: tuple[str, ...] = ("person", "mask", "pose", "flat")) -> Figure:
    """Pictures of a figure, uint8, `width` x `height`. `want`: any of person, mask, pose, flat, coords, parts, sketch, swatch.

    The same figure at every size: the drawing is scaled to fit (192:256) and centred. Raises ValueError for a size below 48
    or an unknown wish.
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
    if "person" in want or "coords" in want:
        scene = person_scene(spec, skeleton, scale, "coords" in want)
    if "person" in want:
        sheet = _Sheet(*size, (255, 255, 255))
        _paper(sheet, spec, skeleton)
        for shape in scene:
            draw(sheet.canvas, shape)
        out.person = sheet.rgb()
    if "mask" in want:
        sheet = _Sheet(*size, (0, 0, 0))
        _draw_mask(sheet, spec, skeleton)
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
    if "coords" in want:
        out.coords, out.owner = _coords(scene, spec, *size)
    return out
