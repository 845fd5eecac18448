"""Scenes: a dressed figure or a flat-lay as a list of shapes from back to front."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import skia

from . import accessory, head
from .body import ARM_S, ARM_W, CENTRE_X, LEG_S, LEG_W, TORSO_W, TORSO_Y, Body, Skeleton, arm_warp, leg_warp, torso_warp
from .colours import PERIODS
from .fabric import fabric_shader
from .figure import FigureSpec
from .garment import GarmentSpec
from .pieces.cut import cut, print_places
from .pieces.piece import Piece, texture_coordinates
from .pose import CANONICAL, build_skeleton
from .shape import Shape

FLAT_BODY = Body()
FLAT = build_skeleton(FLAT_BODY, CANONICAL)


def _warp(skeleton: Skeleton, piece: Piece, pts: np.ndarray) -> np.ndarray:
    if piece.frame == "torso":
        return torso_warp(skeleton, pts)
    return (arm_warp if piece.frame == "arm" else leg_warp)(skeleton, piece.side, pts)


def garment_shape(
    skeleton: Skeleton, piece: Piece, spec: GarmentSpec, owner: int, shader: skia.Shader | None, coords: bool = False
) -> Shape:
    """A piece carried onto a skeleton."""
    mesh = piece.mesh.reshape(-1, 2)
    extra = [pts for pts, _, _ in piece.lines] + (piece.ink_lines or [])
    sizes = [len(piece.outline), len(mesh), *map(len, extra)]
    warped = np.split(_warp(skeleton, piece, np.concatenate([piece.outline, mesh, *extra])), np.cumsum(sizes)[:-1])
    colour = spec.colours[piece.colour]
    ink = accessory.darker(colour, 0.30)
    inks = {
        "ink": (*ink, 225),
        "fold": (*accessory.darker(spec.colours[0], 0.36), 120),
        "light": (255, 255, 255, 90),
        "button": (*accessory.darker(spec.colours[0], 0.45 if sum(spec.colours[0]) > 300 else 2.2), 255),
    }
    strokes = [(pts, inks[kind], width) for pts, (_, width, kind) in zip(warped[2:], piece.lines, strict=False)]
    use = shader if piece.patterned else None
    return Shape(
        warped[0],
        colour,
        label=piece.part,
        side=piece.side,
        frame=piece.frame,
        frame_points=mesh,
        ink=ink,
        strokes=strokes,
        positions=warped[1],
        grid=piece.mesh.shape[:2],
        shade=piece.shade,
        texture=texture_coordinates(piece) if use is not None else None,
        shader=use,
        owner=owner,
        canonical=_warp(FLAT, piece, mesh) if coords else None,
        ink_lines=warped[-len(piece.ink_lines) :] if piece.ink_lines else None,
    )


@lru_cache(maxsize=256)
def _pieces(spec: GarmentSpec) -> tuple[Piece, ...]:
    return tuple(cut(spec))


def garment_shader(spec: GarmentSpec, scale: float) -> skia.Shader | None:
    """The garment's fabric; a period outside the pattern's range (after a change of pattern) is moved into it."""
    low, high = PERIODS[spec.pattern]
    return fabric_shader(
        spec.pattern, spec.colours, min(high, max(low, spec.period)), spec.angle, spec.motif, scale, print_places(spec)
    )


def _skin_limb(skeleton: Skeleton, side: int, arm: bool, colour: tuple, label: str, start: float = -1.0) -> Shape:
    s0, w0 = (ARM_S, ARM_W) if arm else (LEG_S, LEG_W)
    s = np.concatenate([s0[:2], np.linspace(s0[1], s0[-1], 16)[1:]])
    s = s[s >= start]  # a sleeve or trouser leg hides what lies above
    w = np.interp(s, s0, w0)
    inner = w if arm else w * np.interp(s, [0.9, 1.3, 1.9], [1.0, 0.86, 1.0])
    outline = np.concatenate([np.stack([w, s], 1), np.stack([-inner, s], 1)[::-1]])
    u = np.linspace(-1, 1, 4)
    mesh = np.stack([u[None] * (w[:, None] + 1.2), np.repeat(s[:, None], 4, 1)], -1)
    both = (arm_warp if arm else leg_warp)(skeleton, side, np.concatenate([outline, mesh.reshape(-1, 2)]))
    light = 1 - 0.26 * np.clip((u * side + 0.1) / 1.1, 0, 1) ** 1.5
    return Shape(
        both[: len(outline)],
        colour,
        label=label,
        ink=accessory.darker(colour, 0.4),
        positions=both[len(outline) :],
        side=side,
        frame="arm" if arm else "leg",
        frame_points=mesh.reshape(-1, 2),
        grid=mesh.shape[:2],
        shade=np.repeat(light[None], len(s), 0),
        ink_width=1.3,
    )


def _skin_torso(
    skeleton: Skeleton, colour: tuple, label: str, top: float, bottom: float, neckline: bool = False
) -> Shape:
    ys = np.linspace(top, bottom, 14)
    w = np.interp(ys, TORSO_Y, TORSO_W) + (0.3 if neckline else 0.0)
    if neckline:
        w = np.minimum(w, np.interp(ys, [55, 62, 70], [12.6, 13.8, 17.6]))
    right = np.stack([CENTRE_X + w, ys], 1)
    left = np.stack([CENTRE_X - w, ys], 1)[::-1]
    dip = np.array(
        [
            (CENTRE_X - 9, ys[0] + 0.5),
            (CENTRE_X - 6, ys[0] + 8),
            (CENTRE_X, ys[0] + 10),
            (CENTRE_X + 6, ys[0] + 8),
            (CENTRE_X + 9, ys[0] + 0.5),
        ]
    )
    outline = np.concatenate([right, left, dip]) if neckline else np.concatenate([right, left])
    u = np.linspace(-1, 1, 5)
    mesh = np.stack([CENTRE_X + u[None] * (np.maximum(w, 12)[:, None] + 1.2), np.repeat(ys[:, None], 5, 1)], -1)
    both = torso_warp(skeleton, np.concatenate([outline, mesh.reshape(-1, 2)]))
    light = 1 - 0.24 * np.clip(u, 0, 1) ** 1.5
    return Shape(
        both[: len(outline)],
        colour,
        label=label,
        ink=accessory.darker(colour, 0.4),
        positions=both[len(outline) :],
        frame="torso",
        frame_points=mesh.reshape(-1, 2),
        grid=mesh.shape[:2],
        shade=np.repeat(light[None], len(ys), 0),
        ink_width=1.3,
    )


def is_tucked(spec: FigureSpec) -> bool:
    """A slim or gathered top goes into the waistband: a rule of the garments alone, never chance."""
    upper = next((g for g in spec.garments if g.category == "upper" and not g.open), None)
    lower = next((g for g in spec.garments if g.category == "lower"), None)
    return bool(
        upper
        and lower
        and upper.length == "short"
        and upper.fit == "slim"
        and upper.kind in ("tee", "shirt", "blouse", "tank")
    )


def person_scene(
    spec: FigureSpec, skeleton: Skeleton, face: list[Shape], scale: float, coords: bool = False
) -> list[Shape]:
    """All shapes of the dressed figure from back to front; `face` are the shapes of `head.head`, which come last."""
    body, skin = skeleton.body, skeleton.body.skin
    worn = {g.category for g in spec.garments}
    behind = [s for i, s in enumerate((-1, 1)) if spec.pose.arm_names[i] == "behind"]
    near = spec.pose.weight
    legs_order = (-near, near)
    shapes = head.back_hair(skeleton)
    made: dict[str, list[Shape]] = {
        "sleeve-1": [],
        "sleeve1": [],
        "upper": [],
        "lower": [],
        "leg-1": [],
        "leg1": [],
        "bag": [],
        "outer": [],
        "back": [],
        "hips": [],
        "shoe-1": [],
        "shoe1": [],
        "boot-1": [],
        "boot1": [],
    }
    for owner, garment in enumerate(spec.garments):
        _add_garment(made, garment, owner, skeleton, scale, coords)
    arms = {
        s: [
            _skin_limb(skeleton, s, True, skin, "arm", 0.3 if made[f"sleeve{s}"] else -1.0),
            *made[f"sleeve{s}"],
            accessory.hand(skeleton, s),
        ]
        for s in (-1, 1)
    }
    for s in behind:
        shapes += arms[s]
    bare_legs = bool({"lower", "overall"} & worn)
    shapes += made["back"]
    for s in legs_order:
        shapes.append(
            _skin_limb(skeleton, s, False, skin if bare_legs else body.base, "leg" if bare_legs else "base legs")
        )
        shapes.append(accessory.foot(skeleton, s))
        if not made[f"leg{s}"]:
            shapes += made[f"shoe{s}"] or [accessory.base_shoe(skeleton, s)]
    shapes += [_skin_torso(skeleton, skin, "torso", 51.0, 116.0), head.neck(skeleton)]
    if not bare_legs:
        shapes.append(_skin_torso(skeleton, body.base, "base legs", 92.0, 127.5))
    if not {"upper", "overall"} & worn:
        shapes.append(_skin_torso(skeleton, body.base, "base top", 56.0, 116.0, neckline=True))
    shapes += made["hips"]
    for s in legs_order:
        if made[f"leg{s}"]:
            shapes += [*(made[f"shoe{s}"] or [accessory.base_shoe(skeleton, s)]), *made[f"leg{s}"]]
    shapes += made["upper"] + made["lower"] if is_tucked(spec) else made["lower"] + made["upper"]
    shapes += made["outer"]
    bag_side = accessory.bag_anchor(skeleton)[2]
    for s in (-1, 1):
        if s not in behind:
            shapes += arms[s][:-1] + (made["bag"] if s == bag_side else []) + arms[s][-1:]
    if bag_side in behind:
        shapes += made["bag"]
    return shapes + face


def _add_garment(made: dict, garment: GarmentSpec, owner: int, skeleton: Skeleton, scale: float, coords: bool) -> None:
    if garment.category == "shoe":
        for s in (-1, 1):
            made[f"shoe{s}"] += accessory.shoe(skeleton, FLAT, garment, s, owner)
        return
    if garment.category == "bag":
        made["bag"] += accessory.bag(accessory.bag_anchor(skeleton)[:2], garment, owner)
        return
    shader = garment_shader(garment, scale)
    for piece in _pieces(garment):
        shape = garment_shape(skeleton, piece, garment, owner, shader, coords)
        key = (
            piece.part
            if piece.part in ("back", "hips")
            else {"arm": f"sleeve{piece.side}", "leg": f"leg{piece.side}"}.get(piece.frame)
        )
        if key is None:
            key = "outer" if garment.open else "lower" if garment.category == "lower" else "upper"
        made[key].append(shape)


def flat_scene(spec: GarmentSpec, scale: float) -> list[Shape]:
    """The garment alone on the canonical skeleton."""
    if spec.category == "shoe":
        return [shape for s in (-1, 1) for shape in accessory.shoe(FLAT, FLAT, spec, s, 0)]
    if spec.category == "bag":
        return accessory.bag(accessory.CANONICAL_BAG, spec, 0)
    shader = garment_shader(spec, scale)
    return [garment_shape(FLAT, piece, spec, 0, shader) for piece in _pieces(spec)]


def flat_zoom(category: str) -> tuple[float, float, float]:
    """(zoom, centre x, centre y): shoes and bags are shown larger, in the middle of their flat-lay."""
    if category == "shoe":
        return accessory.SHOE_ZOOM, CENTRE_X, 219.0
    if category == "bag":
        return accessory.BAG_ZOOM, CENTRE_X, accessory.CANONICAL_BAG[1] + 19.0
    return 1.0, 0.0, 0.0
