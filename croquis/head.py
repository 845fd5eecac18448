"""Neck, head, face and hair: a few confident strokes, drawn as shapes in the head frame (half-height units)."""

from __future__ import annotations

import numpy as np

from .body import Skeleton
from .pieces.piece import curve
from .pose import head_frame, head_point
from .shape import Shape


def _place(skeleton: Skeleton, points: list, steps: int = 4, closed: bool = True) -> np.ndarray:
    pts = curve([*points, points[0]] if closed else points, steps) if steps else np.asarray(points, np.float64)
    matrix, centre = head_frame(skeleton)
    return pts @ matrix + centre


def _sides(points: list) -> list:
    """Right half (top to bottom) made whole."""
    return points + [(-x, y) for x, y in points[::-1] if x]


FACE = _sides([(0.0, -0.98), (0.42, -0.86), (0.66, -0.45), (0.67, 0.05), (0.57, 0.50), (0.34, 0.86), (0.12, 1.0)])
BACK_HAIR = {
    "bob": _sides([(0.0, -1.14), (0.62, -0.98), (0.93, -0.40), (0.98, 0.30), (0.94, 0.98), (0.50, 1.06)]),
    "long": _sides([(0.0, -1.14), (0.62, -0.98), (0.92, -0.40), (1.0, 0.5), (1.12, 1.5), (1.02, 2.3), (0.4, 2.4)]),
    "waves": _sides([
        (0.0, -1.16), (0.68, -1.0), (1.0, -0.4), (0.98, 0.2), (1.2, 0.8), (1.1, 1.4), (1.28, 2.0), (0.7, 2.3),
    ]),
    "bun": _sides([(0.0, -1.08), (0.55, -0.95), (0.78, -0.45), (0.76, 0.1), (0.5, 0.4)]),
    "ponytail": [
        (0.0, -1.12), (0.6, -0.98), (0.8, -0.45), (1.05, -0.1), (1.22, 0.7), (1.02, 1.7), (0.85, 1.1), (0.72, 0.2),
        (-0.5, 0.3), (-0.78, -0.4), (-0.58, -0.95),
    ],
    "afro": _sides([(0.0, -1.46), (0.75, -1.3), (1.22, -0.72), (1.28, -0.05), (1.0, 0.55), (0.5, 0.7)]),
    "short": _sides([(0.0, -1.12), (0.56, -1.0), (0.80, -0.5), (0.78, 0.1), (0.62, 0.3)]),
    "crop": _sides([(0.0, -1.06), (0.5, -0.96), (0.72, -0.5), (0.70, -0.05), (0.5, 0.1)]),
    "braid": _sides([(0.0, -1.12), (0.6, -0.98), (0.85, -0.4), (0.84, 0.3), (0.66, 0.8), (0.3, 0.8)]),
}  # fmt: skip
FRINGES = {
    "side": [
        (-0.10, -1.12), (0.45, -1.02), (0.80, -0.5), (0.76, 0.10), (0.64, -0.25), (0.42, -0.58), (-0.05, -0.74),
        (-0.45, -0.45), (-0.66, -0.05), (-0.76, 0.12), (-0.80, -0.5), (-0.5, -1.0),
    ],
    "middle": [
        (0.0, -1.12), (0.5, -1.0), (0.82, -0.45), (0.80, 0.35), (0.66, 0.0), (0.44, -0.5), (0.0, -0.84),
        (-0.44, -0.5), (-0.66, 0.0), (-0.80, 0.35), (-0.82, -0.45), (-0.5, -1.0),
    ],
    "blunt": [
        (0.0, -1.12), (0.5, -1.0), (0.82, -0.45), (0.82, 0.45), (0.66, 0.3), (0.62, -0.30), (0.3, -0.26),
        (-0.3, -0.26), (-0.62, -0.30), (-0.66, 0.3), (-0.82, 0.45), (-0.82, -0.45), (-0.5, -1.0),
    ],
    "back": [
        (0.0, -1.10), (0.5, -1.0), (0.76, -0.45), (0.70, 0.0), (0.58, -0.45), (0.3, -0.78), (0.0, -0.84),
        (-0.3, -0.78), (-0.58, -0.45), (-0.70, 0.0), (-0.76, -0.45), (-0.5, -1.0),
    ],
}  # fmt: skip
FRINGE_OF = {
    "bob": "blunt", "long": "middle", "waves": "side", "bun": "back", "ponytail": "side", "afro": "back",
    "short": "side", "crop": "back", "braid": "middle",
}  # fmt: skip


def darker(colour: tuple, k: float) -> tuple:
    return tuple(int(max(0, min(255, c * k))) for c in colour)


def back_hair(skeleton: Skeleton) -> list[Shape]:
    body = skeleton.body
    shapes = []
    if body.hair == "bun":
        bun = [(0.36 * np.cos(a) + 0.05, -1.22 + 0.32 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)[:-1]]
        shapes.append(Shape(_place(skeleton, bun), body.hair_colour, label="hair", ink=darker(body.hair_colour, 0.45)))
    shapes.append(
        Shape(
            _place(skeleton, BACK_HAIR[body.hair]),
            darker(body.hair_colour, 0.80),
            label="hair",
            ink=darker(body.hair_colour, 0.45),
        )
    )
    return shapes


def neck(skeleton: Skeleton) -> Shape:
    (nx, ny), (cx, cy) = skeleton.neck, head_point(skeleton, 0.0, 0.72)
    w = 4.7
    pts = np.array(
        [
            (cx - w, cy),
            (cx + w, cy),
            (nx + w, ny - 2.5),
            (nx + 8.5, ny + 2.0),
            (nx, ny + 8.0),
            (nx - 8.5, ny + 2.0),
            (nx - w, ny - 2.5),
        ]
    )
    skin = skeleton.body.skin
    shape = Shape(pts, skin, label="neck", ink=None)
    shade, ink = (*darker(skin, 0.70), 150), (*darker(skin, 0.42), 200)
    shape.strokes += [
        (np.array([(cx - w, cy + 1.5), (cx + 0.5, cy + 4.5), (cx + w, cy + 3.0)]), shade, 5.0),
        (pts[[1, 2, 3]], ink, 1.0),
        (pts[[0, 6, 5]], ink, 1.0),
        (np.array([(nx - 1.4, ny + 3.6), (nx - 5.5, ny + 3.2)]), ink, 0.5),
        (np.array([(nx + 1.4, ny + 3.6), (nx + 5.5, ny + 3.2)]), ink, 0.5),
    ]
    return shape


def head(skeleton: Skeleton) -> list[Shape]:
    """Face and front hair, in front of everything at the neck."""
    body, skin = skeleton.body, skeleton.body.skin
    ink = darker(skin, 0.38)
    shapes = []
    for s in (-1, 1):
        ear = [(s * 0.64, -0.12), (s * 0.76, -0.06), (s * 0.73, 0.16), (s * 0.62, 0.22)]
        shapes.append(Shape(_place(skeleton, ear), darker(skin, 0.93), label="face", ink=ink))
    face = Shape(_place(skeleton, FACE, 3), skin, label="face", ink=ink)
    lash, brow = darker(body.eyes, 0.55), darker(body.hair_colour, 0.7)

    def stroke(points: list, colour: tuple, width: float, alpha: int = 255) -> None:
        face.strokes.append((_place(skeleton, points, 3, closed=False), (*colour, alpha), width))

    stroke([(0.74, -0.6), (0.62, 0.1), (0.44, 0.62), (0.1, 0.98)], darker(skin, 0.72), 3.0, 95)
    for s in (-1, 1):
        stroke([(s * 0.14, -0.27), (s * 0.28, -0.33), (s * 0.46, -0.26)], brow, 0.75, 220)
        stroke([(s * 0.14, -0.04), (s * 0.27, -0.12), (s * 0.45, -0.05)], lash, 0.95, 255)
        stroke([(s * 0.255, -0.03), (s * 0.29, -0.02)], body.eyes, 1.5, 255)
        stroke([(s * 0.42, 0.26), (s * 0.5, 0.28)], body.lips, 2.6, 42)
    stroke([(0.03, -0.02), (0.09, 0.20), (0.02, 0.27), (-0.05, 0.25)], darker(skin, 0.6), 0.6, 190)
    stroke([(-0.2, 0.53), (-0.07, 0.50), (0.0, 0.52), (0.07, 0.50), (0.2, 0.53)], body.lips, 1.25, 255)
    stroke([(-0.11, 0.60), (0.0, 0.63), (0.11, 0.60)], body.lips, 1.3, 190)
    shapes.append(face)
    hair = Shape(
        _place(skeleton, FRINGES[FRINGE_OF[body.hair]], 3),
        body.hair_colour,
        label="hair",
        ink=darker(body.hair_colour, 0.45),
    )
    shine = tuple(min(255, int(c * 1.25 + 26)) for c in body.hair_colour)
    hair.strokes.append(
        (_place(skeleton, [(-0.62, -0.42), (-0.42, -0.74), (-0.1, -0.9)], 3, closed=False), (*shine, 120), 1.3)
    )
    hair.strokes.append(
        (
            _place(skeleton, [(0.1, -1.0), (0.5, -0.74), (0.72, -0.2)], 3, closed=False),
            (*darker(body.hair_colour, 0.6), 150),
            0.8,
        )
    )
    if body.hair_front and body.hair in ("long", "waves", "braid"):
        shapes += _locks(skeleton)
    shapes.append(hair)
    return shapes


def _locks(skeleton: Skeleton) -> list[Shape]:
    """Hair that falls over the shoulders in front of the garments."""
    body, shapes = skeleton.body, []
    for s in (1,) if body.hair == "braid" else (-1, 1):
        if body.hair == "braid":
            pts = [
                (s * 0.5, 0.3),
                (s * 0.86, 0.7),
                (s * 0.78, 1.1),
                (s * 0.92, 1.5),
                (s * 0.8, 1.95),
                (s * 0.86, 2.5),
                (s * 0.72, 2.9),
                (s * 0.58, 2.5),
                (s * 0.48, 1.95),
                (s * 0.58, 1.5),
                (s * 0.44, 1.1),
            ]
        else:
            end = 2.55 if body.hair == "long" else 2.3
            pts = [
                (s * 0.62, -0.1),
                (s * 0.92, 0.3),
                (s * 1.0, 1.0),
                (s * 1.04, 1.7),
                (s * 0.80, end),
                (s * 0.66, 1.8),
                (s * 0.74, 1.1),
                (s * 0.60, 0.6),
            ]
        lock = Shape(_place(skeleton, pts, 3), body.hair_colour, label="hair", ink=darker(body.hair_colour, 0.45))
        lock.strokes.append(
            (
                _place(skeleton, [(s * 0.78, 0.2), (s * 0.84, 1.0), (s * 0.82, 1.9)], 3, closed=False),
                (*darker(body.hair_colour, 0.6), 150),
                0.7,
            )
        )
        shapes.append(lock)
    return shapes
