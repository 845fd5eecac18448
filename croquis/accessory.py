"""Hands, feet, shoes and bags."""

from __future__ import annotations

import numpy as np

from .body import Skeleton, arm_warp, foot_warp, leg_warp
from .garment import GarmentSpec
from .pieces.piece import curve
from .shape import Shape

BAG_SIZE = {"tote": (13.0, 28.0), "handbag": (13.0, 18.0), "shoulder bag": (11.0, 15.0)}
BAG_STRAP = {"tote": 12.0, "handbag": 9.0, "shoulder bag": 14.0}
CANONICAL_BAG = (96.0, 108.0)
SHOES = {
    "pumps": [
        (-3.9, 0.30), (-4.7, 0.6), (-4.4, 0.95), (-2.0, 1.26), (0.2, 1.34), (2.2, 1.26), (4.6, 0.95), (4.8, 0.6),
        (4.0, 0.30), (2.6, 0.58), (0, 0.68), (-2.6, 0.58), (-3.9, 0.30),
    ],
    "flats": [
        (-4.1, 0.35), (-5.0, 0.62), (-4.9, 0.95), (-2.8, 1.20), (0, 1.25), (3.0, 1.20), (5.1, 0.95), (5.1, 0.62),
        (4.2, 0.35), (2.6, 0.66), (0, 0.74), (-2.6, 0.66), (-4.1, 0.35),
    ],
    "sneakers": [
        (-4.4, -0.05), (-5.2, 0.4), (-5.9, 0.8), (-5.5, 1.14), (-3.0, 1.32), (0, 1.35), (3.2, 1.32), (5.8, 1.14),
        (6.1, 0.8), (5.3, 0.4), (4.4, -0.05), (0, 0.08), (-4.4, -0.05),
    ],
    "boots": [
        (-4.9, -0.15), (-5.1, 0.4), (-5.6, 0.8), (-5.0, 1.14), (-2.6, 1.32), (0, 1.36), (2.8, 1.32), (5.3, 1.14),
        (5.8, 0.8), (5.2, 0.4), (4.9, -0.15), (0, -0.2), (-4.9, -0.15),
    ],
    "sandals": [
        (-4.4, 0.60), (-5.0, 0.72), (-4.6, 1.04), (-2.6, 1.26), (0, 1.3), (2.8, 1.26), (4.8, 1.04), (5.1, 0.72),
        (4.5, 0.60), (0, 0.80), (-4.4, 0.60),
    ],
}  # fmt: skip
SHOE_ZOOM, BAG_ZOOM = 2.6, 2.6

HAND = np.array([
    (-2.7, 1.93), (-3.1, 2.08), (-3.6, 2.16), (-3.7, 2.26), (-2.9, 2.22), (-2.5, 2.33), (-1.7, 2.46), (-0.4, 2.52),
    (1.0, 2.48), (2.3, 2.36), (2.9, 2.18), (2.8, 2.05), (2.6, 1.93),
])  # fmt: skip
FOOT = np.array([
    (-3.0, -0.28), (-3.3, 0.1), (-4.2, 0.5), (-4.5, 0.78), (-3.4, 1.0), (-0.8, 1.1), (2.4, 1.02), (4.4, 0.8),
    (4.6, 0.5), (3.5, 0.1), (3.0, -0.28),
])  # fmt: skip


def darker(colour: tuple, k: float) -> tuple:
    return tuple(int(max(0, min(255, c * k))) for c in colour)


def hand(skeleton: Skeleton, side: int) -> Shape:
    skin = skeleton.body.skin
    warp = lambda p: arm_warp(skeleton, side, p)  # noqa: E731
    outline = warp(curve([*HAND.tolist()], 2))
    shape = Shape(outline, skin, label="hand", side=side, ink=darker(skin, 0.38), ink_lines=[outline[1:-1]])
    for x in (-0.9, 0.6):
        shape.strokes.append((warp(np.array([(x, 2.30), (x * 0.8, 2.46)])), (*darker(skin, 0.5), 150), 0.5))
    return shape


def foot(skeleton: Skeleton, side: int, above: float = -1.0) -> Shape:
    """The bare foot; `above` cuts away what lies nearer to the ankle (share of the way to the toes)."""
    skin = skeleton.body.skin
    outline = curve(FOOT.tolist(), 2)
    outline[:, 1] = np.maximum(outline[:, 1], above)
    outline = foot_warp(skeleton, side, outline)
    return Shape(outline, skin, label="foot", side=side, ink=darker(skin, 0.38), ink_lines=[outline[2:-2]])


def base_shoe(skeleton: Skeleton, side: int) -> Shape:
    """The plain slipper of a figure whose outfit has no shoes; part of the body as far as the pack is concerned."""
    colour = darker(skeleton.body.base, 0.62)
    pts = [
        (-3.9, 0.42),
        (-4.8, 0.6),
        (-4.7, 0.92),
        (-2.6, 1.16),
        (0.0, 1.22),
        (2.8, 1.16),
        (4.9, 0.92),
        (4.9, 0.6),
        (4.0, 0.42),
        (2.4, 0.62),
        (0, 0.7),
        (-2.4, 0.62),
        (-3.9, 0.42),
    ]
    return Shape(
        foot_warp(skeleton, side, curve(pts, 2)), colour, label="base shoe", side=side, ink=darker(colour, 0.4)
    )


def _strip(rows: np.ndarray, half: float, columns: int = 4) -> np.ndarray:
    t = np.linspace(-half, half, columns)
    return np.stack([np.repeat(t[None], len(rows), 0), np.repeat(rows[:, None], columns, 1)], axis=-1)


def shoe(skeleton: Skeleton, flat: Skeleton, spec: GarmentSpec, side: int, owner: int) -> list[Shape]:
    """One shoe; `flat` is the canonical skeleton, where its flat-lay (before the zoom) lies."""
    shapes = []
    if spec.kind == "boots":
        s = np.linspace(1.42, 2.08, 6)
        w = np.array([7.4, 7.0, 6.2, 5.2, 4.8, 5.0])
        outline = np.concatenate([np.stack([w, s], 1), np.stack([-w, s], 1)[::-1]])
        shapes.append(_shoe_shape(outline, s, 8.2, skeleton, flat, spec, side, owner, "leg"))
    pts = SHOES[spec.kind]
    shape = _shoe_shape(curve(pts, 2), np.linspace(-0.4, 1.5, 5), 7.0, skeleton, flat, spec, side, owner, "foot")
    warp = lambda p: foot_warp(skeleton, side, p)  # noqa: E731
    if spec.kind == "sneakers":
        shape.strokes.append((warp(curve([(-6, 1.08), (0, 1.22), (6, 1.08)], 3)), (248, 246, 240, 255), 2.0))
        for y in (0.30, 0.48, 0.66):
            shape.strokes.append((warp(np.array([(-2.2, y), (2.2, y)])), (248, 246, 240, 235), 0.8))
    shapes.append(shape)
    if spec.kind == "sandals":
        strap = [(-4.2, -0.02), (4.2, -0.02), (4.2, 0.14), (-4.2, 0.14)]
        shapes.append(
            _shoe_shape(np.array(strap), np.linspace(-0.2, 0.3, 3), 6.0, skeleton, flat, spec, side, owner, "foot")
        )
    return shapes


def _shoe_shape(
    outline: np.ndarray,
    rows: np.ndarray,
    half: float,
    skeleton: Skeleton,
    flat: Skeleton,
    spec: GarmentSpec,
    side: int,
    owner: int,
    frame: str,
) -> Shape:
    mesh = _strip(rows, half)
    flatten = mesh.reshape(-1, 2)

    def warp(on: Skeleton, pts: np.ndarray) -> np.ndarray:
        return foot_warp(on, side, pts) if frame == "foot" else leg_warp(on, side, pts)

    u = np.linspace(-1, 1, mesh.shape[1]) * side
    shade = np.repeat((1 - 0.3 * np.clip(u, 0, 1))[None], len(rows), 0)
    return Shape(
        warp(skeleton, outline),
        spec.colours[0],
        label="shoe",
        side=side,
        ink=darker(spec.colours[0], 0.34),
        positions=warp(skeleton, flatten),
        grid=mesh.shape[:2],
        shade=shade,
        canonical=warp(flat, flatten),
        owner=owner,
        frame="leg" if frame == "leg" else "",
        frame_points=flatten,
    )


def bag_anchor(skeleton: Skeleton) -> tuple[float, float, int]:
    """Where a bag hangs: the hand of the arm that hangs lowest (x, y, side)."""
    side = max((-1, 1), key=lambda s: skeleton.arm(s)[2][1])
    wrist = np.asarray(skeleton.arm(side)[2])
    elbow = np.asarray(skeleton.arm(side)[1])
    x, y = wrist + (wrist - elbow) * 0.28
    return float(x), float(y), side


def bag_region(skeleton: Skeleton) -> np.ndarray:
    x, y, _ = bag_anchor(skeleton)
    return np.array([(x - 18, y - 8), (x + 18, y - 8), (x + 19, y + 46), (x - 19, y + 46)])


def bag(anchor: tuple[float, float], spec: GarmentSpec, owner: int) -> list[Shape]:
    """A bag hanging from a point; the same drawing on the person and in the flat-lay."""
    (half, height), strap = BAG_SIZE[spec.kind], BAG_STRAP[spec.kind]
    x, y = anchor
    fx, fy = CANONICAL_BAG
    ink = darker(spec.colours[0], 0.34)
    top = y + strap
    arc = curve(
        [
            (x - half * 0.55, top + 1),
            (x - half * 0.42, y + 3),
            (x, y),
            (x + half * 0.42, y + 3),
            (x + half * 0.55, top + 1),
        ],
        4,
    )
    inner = curve(
        [
            (x + half * 0.37, top + 1),
            (x + half * 0.28, y + 4.5),
            (x, y + 2.4),
            (x - half * 0.28, y + 4.5),
            (x - half * 0.37, top + 1),
        ],
        4,
    )
    foot_w = half * (0.88 if spec.kind == "tote" else 1.12)
    body = np.concatenate(
        [
            [(x - half, top), (x + half, top)],
            curve(
                [
                    (x + foot_w, top + height - 2),
                    (x + foot_w - 2, top + height),
                    (x - foot_w + 2, top + height),
                    (x - foot_w, top + height - 2),
                ],
                3,
            ),
        ]
    )
    out = []
    for k, outline in enumerate((np.concatenate([arc, inner]), body)):
        rows, cols = np.linspace(y - 3, top + height + 3, 4), np.linspace(x - half - 4, x + half + 4, 4)
        mesh = np.stack(np.meshgrid(cols, rows), axis=-1)
        shade = np.repeat((1 - 0.28 * np.clip(np.linspace(-1, 1, 4), 0, 1))[None], 4, 0)
        shape = Shape(
            outline,
            spec.colours[0],
            label="bag",
            ink=ink,
            positions=mesh.reshape(-1, 2),
            grid=(4, 4),
            shade=shade,
            canonical=mesh.reshape(-1, 2) + np.array([fx - x, fy - y]),
            owner=owner,
        )
        if k:
            drop = 0.42 if spec.kind != "tote" else 0.16
            shape.strokes.append(
                (
                    curve(
                        [
                            (x - half, top + height * drop),
                            (x, top + height * (drop + 0.12)),
                            (x + half, top + height * drop),
                        ],
                        3,
                    ),
                    (*ink, 200),
                    0.8,
                )
            )
            shape.strokes.append(
                (
                    np.array([(x, top + height * (drop + 0.1)), (x, top + height * (drop + 0.12))]),
                    (*spec.colours[2], 255),
                    2.6,
                )
            )
        out.append(shape)
    return out
