"""Skirts and hems."""

from __future__ import annotations

import numpy as np

from ..body import CENTRE_X, TORSO_W, TORSO_Y
from ..garment import GarmentSpec
from .piece import FIT_EASE, Piece, curve, mirror, torso_mesh

SKIRT_HEM = {"ultra-short": 141.0, "short": 156.0, "knee": 176.0, "mid": 197.0, "long": 219.0}


def hem_edge(spec: GarmentSpec, half: float, y: float) -> np.ndarray:
    """The hem from right to left."""
    u = np.linspace(1.0, -1.0, 25)
    drop = 1.2 * (1 - u * u)
    if spec.hem == "curved":
        drop = 7.0 * (1 - np.abs(u) ** 2.2) - 3.5
    elif spec.hem == "wavy":
        drop = 2.6 * np.sin(u * 4.0 * np.pi) + 1.0
    elif spec.hem == "ruffle":
        drop = 1.6 * np.sin(u * 7.0 * np.pi) + 1.0
    elif spec.hem == "pleated":
        drop = 1.8 * (np.abs(((u * 5.0) % 1.0) - 0.5) * 2 - 0.5)
    edge = np.stack([CENTRE_X + u * half, y + drop], axis=1)
    if spec.hem == "slit":
        top = 7.0 if y < 125 else 22.0
        edge = np.concatenate([edge[:5], [[edge[4, 0] - 0.2, y - top], [edge[4, 0] - 2.8, y + 0.9]], edge[6:]])
    return edge


def skirt_lines(spec: GarmentSpec, hem_y: float, half: float) -> list:
    c, lines, n = CENTRE_X, [], {"slim": 2, "regular": 4, "loose": 6}[spec.fit]
    if spec.hem == "pleated":
        n = 9
    for u in np.linspace(-0.78, 0.78, n):
        top = 95.0 if spec.hem == "pleated" else 108.0 + 8.0 * abs(u) + (14.0 if spec.fit == "slim" else 0.0)
        top = min(top, hem_y - 12)
        x0 = c + u * 14.0
        x1 = c + u * half
        lines.append(
            (
                curve([(x0, top), (x0 + (x1 - x0) * 0.4, top + (hem_y - top) * 0.45), (x1, hem_y + 2)], 4),
                0.8 if u > 0 else 0.6,
                "fold",
            )
        )
    if spec.hem == "ruffle":
        y = hem_y - 9.0
        w = half - (half - 19) * 9.0 / max(hem_y - 100, 12)
        lines.append((np.array([(c - w - 2, y), (c, y + 1.2), (c + w + 2, y)]), 0.8, "ink"))
        for u in np.linspace(-0.9, 0.9, 12):
            lines.append((np.array([(c + u * w, y + 0.8), (c + u * half, hem_y + 1)]), 0.55, "fold"))
    return lines


def skirt(spec: GarmentSpec) -> list[Piece]:
    c, hem_y, flare = CENTRE_X, SKIRT_HEM[spec.length], skirt_flare(spec, SKIRT_HEM[spec.length])
    top_y = 88.5
    ys = np.concatenate([np.linspace(top_y, 112.0, 6), np.linspace(114.0, hem_y, 6)])
    ease = FIT_EASE[spec.fit]
    w = np.interp(ys, TORSO_Y, TORSO_W) + np.interp(ys, [90.0, 100.0, 114.0], [0.7, ease * 0.7, ease])
    start = 18.6 + ease
    w = np.where(ys > 114, start + (flare - start) * (ys - 114.0) / (hem_y - 114.0), w)
    right = np.stack([c + w, ys], axis=1)
    outline = np.concatenate(
        [curve([(c, top_y + 1.4), (c + w[0] * 0.6, top_y + 1.0), (c + w[0], top_y)], 3), right[1:]]
    )
    outline = np.concatenate([outline, hem_edge(spec, float(w[-1]), hem_y), mirror(outline)[:-1]])
    rows = np.concatenate([[top_y - 5, 96.0, 105.0], np.linspace(114.0, hem_y + 6, 7)])
    pleats = 10 if spec.hem == "pleated" else 0
    mesh, shade = torso_mesh(
        np.interp(rows, ys, w), rows, 21 if pleats else 9, 0.34 if spec.fit != "slim" or pleats else 0.12, pleats
    )
    lines = [(curve([(c - w[0] - 1, top_y + 4.0), (c, top_y + 5.6), (c + w[0] + 1, top_y + 4.0)], 3), 0.8, "ink")]
    lines += skirt_lines(spec, hem_y, float(w[-1]))
    return [Piece("torso", 0, outline, mesh, shade, lines, part="skirt")]


def skirt_flare(spec: GarmentSpec, hem_y: float) -> float:
    """Half-width at the hem: pencil, A-line or full; a flared hem adds to it."""
    drop = (hem_y - 114.0) / 105.0
    base = {"slim": 18.8, "regular": 22.0 + 14.0 * drop, "loose": 26.0 + 22.0 * drop}[spec.fit]
    return (
        base
        + (5.0 + 5.0 * drop if spec.hem in ("flared", "wavy", "ruffle") else 0.0)
        + (3.0 if spec.hem == "pleated" else 0.0)
    )
