"""Trousers and shorts: legs in the legs' frames, hips in the torso's."""

from __future__ import annotations

import numpy as np

from ..body import CENTRE_X, HIP_JOINT_X, LEG_S, LEG_W, TORSO_W, TORSO_Y, smoothstep
from ..garment import GarmentSpec
from .piece import ELBOW, FIT_EASE, Piece, curve, light, limb_piece, mirror, torso_mesh

LEG_HEM = {"ultra-short": 0.34, "short": 0.62, "knee": 1.04, "mid": 1.55, "long": 1.95}


def trouser_legs(spec: GarmentSpec) -> list[Piece]:
    end = LEG_HEM[spec.length]
    ease = FIT_EASE[spec.fit]
    s = np.unique(np.concatenate([[-0.08], np.linspace(0.02, end, 10), ELBOW[end - 0.03 > ELBOW]]))
    body = np.interp(s, LEG_S, LEG_W)
    straight = np.maximum(body, np.interp(s, [0, 0.5, 1.0, 2.0], [9.9, 8.4, 7.0, 5.6]))
    w = straight + {"slim": 0.9, "regular": 1.6, "loose": 3.6}[spec.fit] * np.minimum(1.0, 0.6 + 0.25 * s)
    if spec.hem == "flared":
        w = w + 6.5 * np.clip((s - 0.45 * end) / (0.55 * end), 0, 1) ** 1.5
    elif spec.hem == "drawstring":
        w = w + np.where(s < end * 0.9, 1.2, -0.6)
    inner = np.minimum(w, np.interp(s, [0.0, 0.25, 0.5], [HIP_JOINT_X - 0.2, HIP_JOINT_X - 0.4, 30.0]))
    outer = w.copy()
    outer[0], outer[1], outer[2] = 8.6 + ease, 9.2 + ease, max(outer[2], 9.3 + ease * 0.9)
    u = np.linspace(1, -1, 11)
    drop = (0.02 if spec.hem != "curved" else -0.06 * np.abs(u)) * (1 - u * u) if spec.hem != "curved" else -0.07 * u
    bottom = np.stack([np.where(u > 0, u * outer[-1], u * inner[-1]), end + drop], axis=1)[1:-1]
    pieces = []
    for side in (-1, 1):
        at = lambda x: float(np.interp(x, s, w))  # noqa: E731
        lines = [
            (curve([(-inner[0], 0.10), (-3.0, 0.15), (2.5, 0.13)], 3), 0.7, "fold"),
            (np.array([(-at(end) - 1, end - 0.05), (at(end) + 1, end - 0.05)]), 0.5, "fold"),
        ]
        if end > 1.2:
            lines += [
                (curve([(at(0.93), 0.92), (1.5, 0.97), (-2.5, 0.95)], 3), 0.65, "fold"),
                (curve([(-at(1.1), 1.10), (-1.0, 1.05), (2.5, 1.07)], 3), 0.65, "fold"),
            ]
        if end > 1.7:
            lines += [(curve([(at(1.86), 1.82), (0.5, 1.87), (-2.2, 1.85)], 3), 0.65, "fold")]
        if spec.fit != "slim" and end > 0.9 and spec.hem != "drawstring":
            lines.append((np.array([(0.6, 0.12), (0.2, end - 0.04)]), 0.5, "fold"))
        if spec.hem == "drawstring":
            lines.append((np.array([(-at(end * 0.92) - 2, end - 0.09), (at(end * 0.92) + 2, end - 0.09)]), 0.8, "ink"))
        leg = limb_piece("leg", side, s, outer, inner, [], bottom, lines, "leg")
        leg.ink_lines = [leg.outline[1:-1]]
        # towards the hips the light becomes that of one body instead of two legs
        across = side * (HIP_JOINT_X + leg.mesh[..., 0]) / (18.6 + ease)
        near = 1.0 - smoothstep(0.0, 0.45, leg.mesh[..., 1])
        leg.shade = leg.shade * (1 - near) + light(across) * near
        pieces.append(leg)
    return pieces


def hips(spec: GarmentSpec, top_y: float) -> Piece:
    """The part of trousers between waist and crotch (torso frame), drawn over the legs' tops."""
    c, ease = CENTRE_X, FIT_EASE[spec.fit]
    ys = np.array([top_y, 94.0, 100.0, 107.0, 114.5, 118.0])
    w = np.interp(ys, TORSO_Y, TORSO_W) + np.interp(ys, [90, 100, 114], [0.7, ease * 0.5, ease])
    right = np.stack([c + w, ys], axis=1)
    crotch = np.array([(c + 13.0 + ease, 121.0), (c + 5.0, 126.0), (c, 129.5)])
    outline = np.concatenate(
        [curve([(c, top_y + 1.4), (c + w[0] * 0.6, top_y + 1.0), (c + w[0], top_y)], 3), right[1:], crotch]
    )
    inked = outline[: -len(crotch) - 1]
    ink_line = np.concatenate([mirror(inked), inked[1:]])
    outline = np.concatenate([outline, mirror(outline)[1:-1]])
    rows = np.array([top_y - 4, 95.0, 104.0, 114.0, 132.0])
    mesh, shade = torso_mesh(np.interp(rows, ys, w), rows, 7)
    lines = [
        (curve([(c - w[0] - 1, top_y + 4.4), (c, top_y + 6.0), (c + w[0] + 1, top_y + 4.4)], 3), 0.8, "ink"),
        (np.array([(c + 0.3, top_y + 6), (c + 0.3, 121.0)]), 0.7, "ink"),
        (curve([(c + 3.0, top_y + 6), (c + 3.2, 108), (c + 0.5, 114)], 3), 0.5, "fold"),
        (curve([(c + 1, 127), (c + 5, 121), (c + 9, 119)], 3), 0.65, "fold"),
        (curve([(c - 1, 127), (c - 5, 122), (c - 8, 120.5)], 3), 0.65, "fold"),
    ]
    for s in (-1, 1):
        lines.append((curve([(c + s * 8.5, top_y + 5), (c + s * 11, 101), (c + s * 16, 104.5)], 3), 0.75, "ink"))
    return Piece("torso", 0, outline, mesh, shade, lines, part="hips", ink_lines=[ink_line])
