"""The palette with its names, and what fabrics can be."""

from __future__ import annotations

import math

import numpy as np

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "ivory": (241, 234, 218), "white": (247, 246, 243), "sand": (214, 196, 166), "camel": (191, 146, 96),
    "mustard": (221, 170, 62), "apricot": (242, 181, 134), "coral": (232, 114, 96), "terracotta": (190, 92, 66),
    "rust": (158, 66, 42), "red": (196, 44, 50), "burgundy": (112, 30, 48), "blush": (239, 200, 194),
    "rose": (214, 128, 142), "fuchsia": (196, 54, 118), "plum": (98, 46, 88), "lilac": (190, 168, 214),
    "violet": (118, 88, 170), "navy": (36, 48, 88), "denim": (76, 108, 154), "blue": (58, 110, 190),
    "sky": (150, 194, 226), "teal": (32, 112, 118), "turquoise": (84, 182, 180), "mint": (176, 218, 196),
    "sage": (150, 170, 138), "olive": (112, 116, 62), "green": (52, 128, 84), "forest": (34, 76, 58),
    "lemon": (244, 222, 112), "chocolate": (92, 58, 42), "taupe": (150, 132, 118), "grey": (146, 150, 156),
    "charcoal": (66, 68, 76), "black": (34, 33, 38),
}  # fmt: skip
PATTERNS = ("plain", "stripes", "checks", "dots", "floral", "print")
MOTIFS = ("star", "heart", "sun", "moon", "bolt", "leaf")
PERIODS = {
    "plain": (24.0, 24.0), "stripes": (20.0, 32.0), "checks": (22.0, 36.0), "dots": (22.0, 34.0),
    "floral": (40.0, 52.0), "print": (26.0, 34.0),
}  # fmt: skip


def luminance(colour: Colour) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def colour_name(colour: Colour) -> str:
    """The palette's nearest name (for captions)."""
    return min(COLOURS, key=lambda n: sum((a - b) ** 2 for a, b in zip(COLOURS[n], colour, strict=True)))


def random_colours(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Ground, motif and accent from the palette, slightly shifted; ground and motif differ clearly in lightness."""
    names = list(COLOURS)
    ground = COLOURS[names[int(rng.integers(len(names)))]]
    far = [c for c in COLOURS.values() if abs(luminance(c) - luminance(ground)) > 62]
    motif = far[int(rng.integers(len(far)))]
    rest = [c for c in COLOURS.values() if min(_distance(c, ground), _distance(c, motif)) > 90]
    accent = rest[int(rng.integers(len(rest)))]
    shift = rng.integers(-9, 10, (3, 3))
    return _shifted(ground, shift[0]), _shifted(motif, shift[1]), _shifted(accent, shift[2])


def _shifted(colour: Colour, shift: np.ndarray) -> Colour:
    red, green, blue = (int(min(250, max(24, v + d))) for v, d in zip(colour, shift, strict=True))
    return red, green, blue


def _distance(a: Colour, b: Colour) -> float:
    return math.dist(a, b)
