"""A picture descriptor that needs no network: which colours where, and which way the edges run.

Good for "the same colours and a similar cut"; it knows no words and no garments.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .palette import foreground_weight, rgb_to_lab

SIDE, CELLS, ANGLES = 96, 4, 9
# Histogram centres in CIELAB: lightness by a and b.
_L, _AB = np.array([20.0, 50.0, 80.0]), np.array([-60.0, -30.0, 0.0, 30.0, 60.0])
DIM = len(_L) * len(_AB) ** 2 * 2 + CELLS * CELLS * ANGLES


def source_hash() -> str:
    """Changes with this file and the palette's: vectors of two versions are never mixed."""
    text = Path(__file__).read_bytes() + Path(__file__).with_name("palette.py").read_bytes()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def describe(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> float64 [DIM] of length 1: colours of the upper and the lower half, edges in 4 x 4 cells."""
    small = _square(picture)
    weight, lab = foreground_weight(small), rgb_to_lab(small)
    half = SIDE // 2
    colours = [_colours(lab[part], weight[part]) for part in (slice(0, half), slice(half, SIDE))]
    edges = _edges(lab[..., 0], weight)
    # Square roots: Hellinger's distance keeps a large ground colour from drowning the rest.
    vector = np.concatenate([*(0.75 * np.sqrt(part / 2) for part in colours), 0.66 * np.sqrt(edges)])
    return vector / max(np.linalg.norm(vector), 1e-12)


def _square(picture: np.ndarray) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(picture)
    ground = Image.new("RGB", (max(image.size),) * 2, tuple(int(v) for v in np.median(_border(picture), axis=0)))
    ground.paste(image, ((ground.width - image.width) // 2, (ground.height - image.height) // 2))
    return np.asarray(ground.resize((SIDE, SIDE), Image.Resampling.BOX))


def _border(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def _colours(lab: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Soft histogram: every pixel is shared between the neighbouring centres; sums to 1."""
    shares = [_shares(lab[..., 0].ravel(), _L), _shares(lab[..., 1].ravel(), _AB), _shares(lab[..., 2].ravel(), _AB)]
    histogram = np.einsum("p,pi,pj,pk->ijk", weight.ravel(), *shares).ravel()
    return histogram / max(histogram.sum(), 1e-12)


def _shares(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    step = centres[1] - centres[0]
    values = np.clip(values, centres[0], centres[-1])
    return np.clip(1 - np.abs(values[:, None] - centres[None]) / step, 0, 1)


def _edges(lightness: np.ndarray, weight: np.ndarray) -> np.ndarray:
    down, across = np.gradient(lightness)
    strength = np.hypot(down, across) * (0.2 + weight)
    angle = (np.arctan2(down, across) % np.pi) / np.pi * ANGLES
    low = np.floor(angle).astype(int) % ANGLES
    part = angle - np.floor(angle)
    cell = (np.indices(lightness.shape) * CELLS // SIDE).transpose(1, 2, 0)
    index = (cell[..., 0] * CELLS + cell[..., 1]) * ANGLES
    size = CELLS * CELLS * ANGLES
    histogram = np.bincount((index + low).ravel(), (strength * (1 - part)).ravel(), size)
    histogram += np.bincount((index + (low + 1) % ANGLES).ravel(), (strength * part).ravel(), size)
    return histogram / max(histogram.sum(), 1e-12)
