"""Sleeves, in the arm's frame."""

from __future__ import annotations

import numpy as np

from ..body import ARM_S, ARM_W, smoothstep
from ..garment import GarmentSpec
from .piece import ELBOW, FIT_EASE, Piece, curve, limb_piece

SLEEVE_END = {"short": 0.50, "elbow": 0.95, "mid": 1.45, "long": 1.95}


def sleeve(spec: GarmentSpec, side: int) -> Piece:
    end = SLEEVE_END[spec.sleeve_length]
    ease = FIT_EASE[spec.fit]
    kind = spec.sleeve_type
    s = np.unique(np.concatenate([np.linspace(0.16, end, 9), [end * 0.85], ELBOW[end - 0.03 > ELBOW]]))
    body = np.interp(s, ARM_S, ARM_W)
    w = body + np.interp(s, [0.0, 0.5, 1.0, 2.0], [0.7, 1.1, 1.2, 1.0]) + ease * np.interp(s, [0.0, 0.4], [0.3, 0.5])
    q = (s - 0.16) / (end - 0.16)
    if kind == "puffed":
        w = w + 5.5 * np.sin(np.pi * np.clip(s / min(end, 0.75), 0, 1)) ** 0.8
    elif kind == "lantern":
        w = w + 6.5 * np.clip(np.sin(np.pi * np.clip((q - 0.3) / 0.7, 0, 1)), 0, None)
    elif kind == "flare":
        w = w + 8.5 * q**2.0
    elif kind == "ruffle":
        w = w + 5.0 * smoothstep(0.60, 0.75, q)
    elif kind == "drop-shoulder":
        w = w + 1.4
    tall = {"puffed": -0.24, "ruffle": -0.14, "drop-shoulder": -0.11}.get(kind, -0.115)
    top = curve(
        [
            (-w[0] * 0.95, s[0]),
            (-5.6, 0.03),
            (-4.0, -0.06),
            (-1.6, tall),
            (2.4, tall * 0.75),
            (w[0] * 0.86, 0.03),
            (w[0], s[0]),
        ],
        3,
    )[1:-1]
    u = np.linspace(1, -1, 13)
    drop = 0.02 * (1 - u * u)
    if kind == "ruffle":
        drop = 0.045 * np.sin(u * 4.2 * np.pi) + 0.02
    bottom = np.stack([u * w[-1], end + drop], axis=1)[1:-1]
    lines = _sleeve_lines(spec, s, w, end)
    piece = limb_piece("arm", side, s, w, w, top, bottom, lines, "sleeve")
    crown = 7  # the seam on the body's side of the crown is a fine line, the rest an outline
    piece.lines.append((np.concatenate([piece.outline[-2:], piece.outline[: crown + 2]]), 1.0, "ink"))
    piece.ink_lines = [piece.outline[crown:-1]]
    return piece


def _sleeve_lines(spec: GarmentSpec, s: np.ndarray, w: np.ndarray, end: float) -> list:
    lines = []
    width_at = lambda x: float(np.interp(x, s, w))  # noqa: E731
    if end > 0.9:
        half = width_at(0.98)
        for to, reach in ((0.80, 0.05), (0.95, 0.35), (1.12, 0.0)):
            if to < end - 0.1:
                lines.append(
                    (
                        curve([(-half, 0.98), (-half * 0.45, 0.97 + (to - 0.97) * 0.3), (half * reach, to)], 3),
                        0.6,
                        "fold",
                    )
                )
    lines.append((curve([(-width_at(0.3), 0.30), (-2.0, 0.22), (1.5, 0.24)], 3), 0.65, "fold"))
    kind = spec.sleeve_type
    if kind in ("puffed", "lantern"):
        for x in (-0.6, -0.2, 0.2, 0.6):
            a, b = end, end - (0.2 if end < 0.8 else 0.3)
            lines.append((curve([(x * width_at(a), a), (x * width_at(b) * 1.2, b)], 3), 0.55, "fold"))
        if kind == "puffed":
            for x in (-0.5, 0.0, 0.5):
                lines.append((np.array([(x * 7, -0.06), (x * 9, 0.14)]), 0.55, "fold"))
    if kind == "ruffle":
        at = 0.16 + 0.64 * (end - 0.16)
        lines.append((np.array([(-width_at(at) - 1, at), (width_at(at) + 1, at)]), 0.8, "ink"))
        for x in (-0.7, -0.3, 0.1, 0.5):
            lines.append((np.array([(x * width_at(at), at), (x * width_at(end), end)]), 0.55, "fold"))
    if (kind in ("shirt", "lantern", "puffed") and end > 1.2) or spec.kind in ("sweater",):
        lines.append(
            (np.array([(-width_at(end - 0.12) - 1, end - 0.12), (width_at(end - 0.12) + 1, end - 0.12)]), 0.7, "ink")
        )
    elif kind != "ruffle":
        lines.append((np.array([(-width_at(end) - 1, end - 0.06), (width_at(end) + 1, end - 0.06)]), 0.5, "fold"))
    if kind == "raglan":
        lines.append((curve([(-8.5, 0.32), (-5.5, 0.10), (-4.5, -0.12)], 3), 0.9, "ink"))
    return lines
