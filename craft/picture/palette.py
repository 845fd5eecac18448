"""A garment's colours from its pixels: CIELAB clusters of the foreground, with names an artist uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Names of cloth colours with their sRGB values; nearest in CIELAB wins.
COLOURS = {
    "black": (18, 18, 20), "charcoal": (62, 64, 68), "grey": (135, 136, 138), "silver": (190, 192, 196),
    "white": (250, 250, 248), "ivory": (240, 234, 214), "beige": (214, 196, 164), "camel": (186, 142, 90),
    "brown": (106, 70, 44), "tan": (198, 160, 118), "burgundy": (110, 22, 42), "red": (200, 28, 36),
    "coral": (242, 110, 96), "orange": (238, 128, 30), "mustard": (206, 156, 38), "yellow": (246, 218, 60),
    "olive": (108, 108, 48), "khaki": (160, 148, 108), "green": (44, 136, 64), "mint": (168, 222, 192),
    "teal": (22, 116, 120), "turquoise": (60, 190, 190), "light blue": (158, 196, 230), "blue": (42, 88, 190),
    "navy": (24, 34, 78), "lavender": (188, 172, 222), "purple": (108, 50, 140), "pink": (244, 172, 190),
    "magenta": (206, 40, 130),
}  # fmt: skip

# Further shades under the same names: in CIELAB a deep blue lies nearer to purple than to a mid blue.
_SHADES = (
    ("blue", (30, 45, 140)), ("blue", (90, 140, 210)), ("navy", (20, 28, 60)), ("red", (150, 20, 30)),
    ("green", (20, 90, 50)), ("green", (110, 180, 90)), ("pink", (230, 110, 160)), ("brown", (70, 45, 30)),
    ("purple", (80, 40, 110)), ("grey", (100, 102, 105)), ("light blue", (120, 175, 220)), ("yellow", (235, 200, 80)),
)  # fmt: skip


@dataclass(frozen=True)
class Swatch:
    """One colour of a palette: `name`, sRGB 0..255, `share` of the garment's pixels 0..1."""

    name: str
    rgb: tuple[int, int, int]
    share: float


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """uint8 or 0..255 [..., 3] sRGB -> float64 [..., 3] CIELAB (D65)."""
    value = np.asarray(rgb, dtype=np.float64) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                       [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * root[..., 1] - 16, 500 * (root[..., 0] - root[..., 1]),
                     200 * (root[..., 1] - root[..., 2])], axis=-1)  # fmt: skip


def foreground_weight(picture: np.ndarray) -> np.ndarray:
    """[H, W] 0..1: how unlike the border's colour a pixel is. All ones when the border has no common colour."""
    lab = rgb_to_lab(picture)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    ground = np.median(border, axis=0)
    if np.median(np.linalg.norm(border - ground, axis=-1)) > 12:
        return np.ones(picture.shape[:2])
    weight = np.clip((np.linalg.norm(lab - ground, axis=-1) - 4) / 8, 0, 1)
    # A white shirt on white: nearly nothing stands out, so everything counts.
    return weight if weight.mean() > 0.02 else np.ones(picture.shape[:2])


def palette(picture: np.ndarray, colours: int = 5, mask: np.ndarray | None = None) -> list[Swatch]:
    """uint8 [H, W, 3] (and a mask [H, W] of the garment in 0..1) -> swatches, the largest share first.

    k-means in CIELAB from centres chosen farthest-first: the same picture gives the same palette.
    Clusters of the same name are one swatch; shares under 3 % are left out.
    """
    weight = (foreground_weight(picture) if mask is None else np.asarray(mask, dtype=np.float64)).ravel()
    chosen = weight > 0.5
    if not chosen.any():
        return []
    rgb, weight = picture.reshape(-1, 3)[chosen], weight[chosen]
    step = max(1, len(rgb) // 20000)
    rgb, weight = rgb[::step].astype(np.float64), weight[::step]
    labels = _cluster(rgb_to_lab(rgb), weight, colours)
    merged: dict[str, tuple[float, np.ndarray]] = {}
    for label in np.unique(labels):
        inside = labels == label
        share = float(weight[inside].sum() / weight.sum())
        # The median keeps the colours of edges and shadows out.
        colour = np.median(rgb[inside], axis=0)
        name = colour_name(colour)
        before = merged.get(name, (0.0, colour))
        merged[name] = (before[0] + share, colour if share > before[0] else before[1])
    swatches = [
        Swatch(name, (int(colour[0]), int(colour[1]), int(colour[2])), share)
        for name, (share, colour) in merged.items()
    ]
    return sorted((s for s in swatches if s.share >= 0.03), key=lambda s: (-s.share, s.name))


def _cluster(lab: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    middle = np.average(lab, axis=0, weights=weight)
    chosen = [lab[np.linalg.norm(lab - middle, axis=1).argmin()]]
    while len(chosen) < count:
        distance = np.min([np.linalg.norm(lab - centre, axis=1) for centre in chosen], axis=0)
        # Farthest of the common: a lone noisy pixel is no centre.
        if np.quantile(distance, 0.98) < 6:
            break
        chosen.append(lab[np.abs(distance - np.quantile(distance, 0.98)).argmin()])
    centres = np.array(chosen)
    for _ in range(12):
        labels = np.linalg.norm(lab[:, None] - centres[None], axis=-1).argmin(1)
        moved = np.array([
            np.average(lab[labels == i], axis=0, weights=weight[labels == i]) if (labels == i).any() else centres[i]
            for i in range(len(centres))
        ])  # fmt: skip
        if np.allclose(moved, centres, atol=0.05):
            break
        centres = moved
    return labels


def colour_name(rgb: np.ndarray) -> str:
    """The name of the nearest colour of COLOURS in CIELAB."""
    shades = [*COLOURS.items(), *_SHADES]
    distance = np.linalg.norm(rgb_to_lab(np.array([value for _, value in shades])) - rgb_to_lab(rgb), axis=-1)
    return shades[int(distance.argmin())][0]
