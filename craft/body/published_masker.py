"""FastFit's published auto-masker, rebuilt from its rules: label maps in, inpainting mask out.

Works on uint8 label maps of DensePose (0..24), LIP (0..19) and ATR (0..17). Uses OpenCV where it is installed (then it
gives the original's masks exactly); else scipy and PIL, which differ by up to 0.3 % of the pixels along outlines.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass

import numpy as np

from .labels import ATR, DENSEPOSE, LIP

LOG = logging.getLogger(__name__)

LEGS, ARMS = ("left-leg", "right-leg"), ("left-arm", "right-arm")
SHOES = ("left-shoe", "right-shoe")
ACCESSORIES = ("hat", "glove", "sunglasses", "scarf", "bag", "socks")


@dataclass(frozen=True)
class Rule:
    """One category: DensePose parts always masked, body labels and clothes (LIP, ATR) never masked."""

    masked: tuple[str, ...]
    body: tuple[str, ...]
    lip: tuple[str, ...]
    atr: tuple[str, ...]


RULES = {
    "upper": Rule(("torso", "upper arms", "forearms"), LEGS, ("skirt", "pants"), ("skirt", "pants")),
    "lower": Rule(("thighs", "legs"), (*ARMS, "face"), ("upper-clothes", "coat", *SHOES), ("upper-clothes", *SHOES)),
    "overall": Rule(("torso", "thighs", "legs", "upper arms", "forearms"), (), SHOES, SHOES),
    "inner": Rule(("torso",), LEGS, ("dress", "coat", "skirt", "pants", "jumpsuits"), ("dress", "skirt", "pants")),
    "outer": Rule(
        ("torso", "upper arms", "forearms"), LEGS, ("upper-clothes", "dress", "pants", "skirt", "jumpsuits"),
        ("dress", "pants", "skirt"),
    ),
}  # fmt: skip
MULTI_REFERENCE = ("upper-clothes", "dress", "pants", "skirt", "coat", "jumpsuits", *SHOES, "bag", "socks", "belt")
SMALL_GAUSSIANS = {1: (256,), 3: (64, 128, 64), 5: (16, 64, 96, 64, 16), 7: (8, 28, 56, 72, 56, 28, 8)}
MODES = (*RULES, "multi_ref")


def published_mask(
    densepose: np.ndarray,
    lip: np.ndarray,
    atr: np.ndarray,
    mode: str,
    square: bool = False,
    expand: tuple[float, float] | None = None,
    opencv: bool | None = None,
) -> np.ndarray:
    """bool [H,W]: True = repaint. mode: upper, lower, overall, inner, outer, or multi_ref (several garments at once).

    square: the bounding box instead of the outline. expand: with multi_ref and square, how far the box grows to the
    left and right as shares of its width (published: two random numbers in 0..0.2). opencv: None = when installed.
    Raises ValueError for maps of different sizes, a side not divisible by 4, or an unknown mode.
    """
    if not densepose.shape == lip.shape == atr.shape or densepose.ndim != 2:
        raise ValueError(
            f"The label maps differ in size: DensePose {densepose.shape}, LIP {lip.shape}, ATR {atr.shape}."
        )
    if mode not in MODES:
        raise ValueError(f"Mask mode {mode!r} is not known; expected one of {', '.join(MODES)}.")
    if densepose.shape[0] % 4 or densepose.shape[1] % 4:
        raise ValueError(
            "The published masker needs sides divisible by 4; the label maps are"
            f" {densepose.shape[1]}x{densepose.shape[0]}."
        )
    if opencv is None and not has_opencv():
        LOG.info("Agnostic Mask: OpenCV is not installed, so scipy draws the published mask; a few pixels may differ")
    tools: _OpenCV | _Scipy = _OpenCV() if (has_opencv() if opencv is None else opencv) else _Scipy()
    maps = _Maps(densepose, lip, atr, _odd(max(densepose.shape) // 500), _odd(max(densepose.shape) // 50), tools)
    return _multi_reference(maps, square, expand) if mode == "multi_ref" else _one_category(maps, RULES[mode], square)


def has_opencv() -> bool:
    return importlib.util.find_spec("cv2") is not None


def _odd(size: int) -> int:
    return size + 1 if size % 2 == 0 else size


@dataclass(frozen=True)
class _Maps:
    densepose: np.ndarray
    lip: np.ndarray
    atr: np.ndarray
    small: int
    large: int
    tools: _OpenCV | _Scipy

    def has(self, *names: str, sets: str = "lip atr") -> np.ndarray:
        found = np.zeros(self.lip.shape, bool)
        for key, labels, known in (("lip", self.lip, LIP), ("atr", self.atr, ATR)):
            if key in sets:
                found |= np.isin(labels, [known.index(n) for n in names if n in known])
        return found

    def body(self, *names: str) -> np.ndarray:
        return np.isin(self.densepose, [number for name in names for number in DENSEPOSE[name]])

    def coarse_body(self, *names: str) -> np.ndarray:
        """Step 4: body parts at a quarter of the size, dilated twice, blown up again."""
        quarter = self.body(*names)[::4, ::4]
        quarter = self.grow(self.grow(quarter))
        return quarter.repeat(4, axis=0).repeat(4, axis=1)

    def grow(self, mask: np.ndarray) -> np.ndarray:
        if self.small == 1:
            return mask
        return self.tools.dilate(mask, self.small)

    def smooth(self, mask: np.ndarray, threshold: int) -> np.ndarray:
        return self.tools.blur(mask, self.large) >= threshold

    def square(self, mask: np.ndarray, expand: tuple[float, float] | None = None) -> np.ndarray:
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.zeros(mask.shape, bool)
        if rows.size:
            x1, x2 = cols[0], cols[-1] + 1
            if expand:
                wide = x2 - x1
                # As published: a box that meets the left border keeps its full grown width, to the right.
                x1 = max(0, x1 - int(expand[0] * wide))
                x2 = min(mask.shape[1], x1 + wide + int(expand[0] * wide) + int(expand[1] * wide))
            box[rows[0] : rows[-1] + 1, x1:x2] = True
        return box


def _one_category(maps: _Maps, rule: Rule, square: bool) -> np.ndarray:
    face = maps.has("face", sets="lip")
    strong = (maps.grow(maps.body("hands", "feet")) & maps.has(*ARMS, *LEGS)) | face
    weak = strong | maps.has(*rule.body) | maps.has(*rule.lip, sets="lip") | maps.has(*rule.atr, sets="atr")
    weak |= maps.has("hair", *ACCESSORIES)
    background = (maps.lip == 0) & (maps.atr == 0)
    mask = (~weak & ~background) | maps.coarse_body(*rule.masked, "feet")
    mask = maps.tools.largest(maps.smooth(mask, 100))
    mask = maps.tools.hulls(mask) & ~weak
    mask = maps.smooth(mask, 25)
    if square:
        mask = maps.grow(maps.square(mask) & ~(weak & ~mask)) & ~face
    return maps.grow(maps.grow(mask))


def _multi_reference(maps: _Maps, square: bool, expand: tuple[float, float] | None) -> np.ndarray:
    face = maps.has("face", sets="lip")
    mask = maps.grow(maps.has(*MULTI_REFERENCE)) | maps.coarse_body(*RULES["overall"].masked, "feet")
    mask = maps.smooth(maps.grow(mask & ~face), 100)
    mask = maps.smooth(maps.tools.hulls(mask), 25)
    if square:
        mask = maps.grow(maps.square(mask, expand) & ~face) & ~face
    return maps.grow(maps.grow(mask))


class _OpenCV:
    def dilate(self, mask: np.ndarray, size: int) -> np.ndarray:
        import cv2

        return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8), iterations=1).astype(bool)

    def blur(self, mask: np.ndarray, size: int) -> np.ndarray:
        import cv2

        return cv2.GaussianBlur(mask.astype(np.uint8) * 255, (size, size), 0)

    def largest(self, mask: np.ndarray) -> np.ndarray:
        import cv2

        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        return mask if count <= 2 else labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))

    def hulls(self, mask: np.ndarray) -> np.ndarray:
        import cv2

        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        filled = np.zeros(mask.shape, np.uint8)
        for contour in contours:
            cv2.drawContours(filled, [cv2.convexHull(contour)], 0, 1, -1)
        return filled.astype(bool)


class _Scipy:
    def dilate(self, mask: np.ndarray, size: int) -> np.ndarray:
        from scipy.ndimage import maximum_filter

        return maximum_filter(mask.astype(np.uint8), size=size, mode="constant").astype(bool)

    def blur(self, mask: np.ndarray, size: int) -> np.ndarray:
        from scipy.ndimage import correlate1d

        blurred = mask.astype(np.int64) * 255
        for axis in (1, 0):
            blurred = correlate1d(blurred, fixed_point_gaussian(size), axis=axis, mode="mirror")
        return (blurred + (1 << 15)) >> 16

    def largest(self, mask: np.ndarray) -> np.ndarray:
        from scipy.ndimage import label

        labels, count = label(mask, structure=np.ones((3, 3)))
        if count < 2:
            return mask
        return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))

    def hulls(self, mask: np.ndarray) -> np.ndarray:
        from PIL import Image, ImageDraw
        from scipy.ndimage import label

        from ..picture.mask_shapes import convex_order, hull_band

        height, width = mask.shape
        labels, count = label(mask, structure=np.ones((3, 3)))
        outlines = Image.new("1", (width, height))
        filled = mask.copy()
        for number in range(1, count + 1):
            corners = convex_order(_extremes(*np.nonzero(labels == number)))
            points = [(int(x), int(y)) for x, y in corners]
            ImageDraw.Draw(outlines).line([*points, points[0]], fill=1)
            filled |= hull_band(width, height, corners, 0.0)
        return filled | np.asarray(outlines)


def _extremes(ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """The first and last pixel of every row: all that a convex hull can touch."""
    rows, start = np.unique(ys, return_index=True)
    ends = np.append(start[1:], len(ys)) - 1
    return np.concatenate([np.stack([xs[start], rows], 1), np.stack([xs[ends], rows], 1)])


def fixed_point_gaussian(size: int) -> np.ndarray:
    """OpenCV's 8-bit Gaussian for an unspecified sigma: int [size], sum 256, rounding errors carried inwards."""
    if size in SMALL_GAUSSIANS:
        return np.array(SMALL_GAUSSIANS[size])
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    weights = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    weights *= 256 / weights.sum()
    taps, carried = np.zeros(size, np.int64), 0.0
    for i in range(size // 2):
        taps[i] = taps[-1 - i] = int(np.rint(weights[i] + carried))
        carried += weights[i] - taps[i]
    taps[size // 2] = 256 - taps.sum()
    return taps
