"""Pieces of a garment: outlines, shading meshes and sewing lines in the frames of torso, arms, legs and feet.

A piece knows nothing of the pose; `scene` carries it onto the person or, with the canonical skeleton, onto the
flat-lay. Torso frame: canonical design units. Limb frames: (t outwards, s along; see `body.limb_warp`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from ..body import CENTRE_X, HIP_JOINT_X, HIP_JOINT_Y, KNEE_Y, SHOULDER_Y, UPPER_ARM, smoothstep

FIT_EASE = {"slim": 0.8, "regular": 2.4, "loose": 5.0}
ELBOW = np.array([0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])  # samples where a limb may bend


@cache
def _spline(count: int, steps: int) -> np.ndarray:
    """Matrix that takes `count` points to the Catmull-Rom curve through them."""
    p = np.eye(count)
    q = np.concatenate([p[:1] * 2 - p[1:2], p, p[-1:] * 2 - p[-2:-1]])
    u = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (q[i : len(q) - 3 + i, None, :] for i in range(4))
    out = 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u * u + (3 * b - a - 3 * c + d) * u**3)
    return np.concatenate([out.reshape(-1, count), p[-1:]])


def curve(points: list, steps: int = 5) -> np.ndarray:
    """Catmull-Rom through the points (ends included): (steps * (len - 1) + 1, 2)."""
    return _spline(len(points), steps) @ np.asarray(points, np.float64)


@dataclass
class Piece:
    frame: str  # torso, arm, leg, foot
    side: int  # -1, +1; 0 for the torso
    outline: np.ndarray  # (N,2)
    mesh: np.ndarray  # (rows, columns, 2)
    shade: np.ndarray  # (rows, columns), 1 = full light
    lines: list = field(default_factory=list)  # (points (k,2), width, "ink" | "fold" | "light")
    colour: int = 0  # which of the garment's colours is the ground (trims use the accent)
    patterned: bool = True
    part: str = ""
    ink_lines: list | None = None  # open lines to ink instead of the whole outline


def texture_coordinates(piece: Piece) -> np.ndarray:
    """Where a mesh point reads the fabric (design units): limbs are laid straight down beside the torso."""
    grid = piece.mesh.reshape(-1, 2)
    if piece.frame == "torso":
        return grid
    x0, y0, length = (
        (62.0, SHOULDER_Y, UPPER_ARM) if piece.frame == "arm" else (HIP_JOINT_X, HIP_JOINT_Y, KNEE_Y - HIP_JOINT_Y)
    )
    return np.stack([CENTRE_X + piece.side * (x0 + grid[:, 0]), y0 + grid[:, 1] * length], axis=1)


def mirror(points: np.ndarray) -> np.ndarray:
    return np.stack([2 * CENTRE_X - points[::-1, 0], points[::-1, 1]], axis=1)


def light(u: np.ndarray) -> np.ndarray:
    """Cylinder under light from upper image left; u -1 image left, +1 image right."""
    return 1.0 - 0.27 * smoothstep(0.05, 1.05, u) - 0.10 * smoothstep(0.55, 1.1, -u)


def torso_mesh(widths: np.ndarray, ys: np.ndarray, columns: int, gores: float = 0.0, pleats: int = 0) -> tuple:
    u = np.linspace(-1.0, 1.0, columns)
    mesh = np.stack([CENTRE_X + u[None, :] * (widths[:, None] + 1.6), np.repeat(ys[:, None], columns, 1)], axis=-1)
    shade = np.repeat(light(u)[None], len(ys), 0)
    if gores > 0:
        depth = smoothstep(112.0, ys.max(), ys)[:, None] * gores
        wave = np.sin(u * np.pi * (pleats or 3.0) + 0.6)[None]
        shade = shade - depth * np.clip(wave, 0, 1) * 0.6
    return mesh, np.clip(shade, 0.45, 1.0)


def limb_piece(
    frame: str,
    side: int,
    s: np.ndarray,
    outer: np.ndarray,
    inner: np.ndarray,
    top: list | np.ndarray,
    bottom: list | np.ndarray,
    lines: list,
    part: str,
) -> Piece:
    """Strip piece from profiles: half-widths outwards and inwards by s; `top` and `bottom` replace straight ends."""
    out_side = np.stack([outer, s], axis=1)
    in_side = np.stack([-inner, s], axis=1)[::-1]
    outline = np.concatenate([np.asarray(top).reshape(-1, 2), out_side, np.asarray(bottom).reshape(-1, 2), in_side])
    rows = np.concatenate([[s[0] - (0.46 if frame == "arm" else 0.22)], s, [s[-1] + 0.16]])
    o = np.concatenate([outer[:1], outer, outer[-1:]]) + 1.6
    i = np.concatenate([inner[:1], inner, inner[-1:]]) + 1.6
    u = np.linspace(-1.0, 1.0, 6)
    t = np.where(u[None] > 0, u[None] * o[:, None], u[None] * i[:, None])
    mesh = np.stack([t, np.repeat(rows[:, None], len(u), 1)], axis=-1)
    return Piece(frame, side, outline, mesh, np.repeat(light(u * side)[None], len(rows), 0), lines, part=part)
