"""A rough human parser for photographs: garment, skin, hair, face and shoes by rules on top of a pose and a silhouette.

Stands in until a trained parser is connected. Judged by eye on photographs only; known faults: dark hair over the
shoulders and bags stay in the garment, shadow slivers between the shins, hand discs that bite the cloth.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..picture.mask_shapes import capsule, convex_order, hull_band
from .labels import ATR

NOSE, MOUTH, EYES, EARS, SHOULDERS, ELBOWS, WRISTS = 0, (9, 10), (2, 5), (7, 8), (11, 12), (13, 14), (15, 16)
HIPS, KNEES, ANKLES, HEELS, TOES = (23, 24), (25, 26), (27, 28), (29, 30), (31, 32)
SKIN_LIKE_GARMENT = 0.35  # share of the trunk that the skin rule takes: above it the garment itself is skin-coloured
HIP_LEVEL = -1.02  # where a top ends, in trunk lengths below the shoulders


@dataclass(frozen=True)
class RoughParse:
    """labels: ATR numbers uint8 [H,W]. skin_share: how much of the trunk looked like skin. notes: what is doubtful."""

    labels: np.ndarray
    person: np.ndarray
    skin_share: float
    notes: tuple[str, ...]


def rough_parse(
    image: np.ndarray, landmarks: np.ndarray, silhouette: np.ndarray, foreground: np.ndarray | None = None
) -> RoughParse:
    """Parse one person of a photograph.

    image: uint8 [H,W,3]. landmarks: [33,4] of BlazePose (x, y in pixels, visibility, presence). silhouette: bool [H,W]
    of that person; foreground: bool [H,W] of everything in front (its parts that touch the silhouette are added).
    Raises ValueError where shoulders or hips fall together.
    """
    scene = _Scene(image, landmarks, person_mask(silhouette, foreground))
    skin_like, centre = _skin_model(scene)
    head = scene.person & (scene.height > 0.10)
    hands, feet = _hands(scene), _feet(scene)
    hair = _hair(scene)
    core = _core(scene) & ~hair
    share = float(skin_like[core].mean()) if core.any() else 0.0
    skin = _skin(scene, skin_like, core, share, hands | feet)
    skin = _without_specks(skin, 0.004 * scene.person.sum())
    garment = scene.person & ~head & ~skin & ~hands & ~feet & ~hair
    garment = _clean(garment)
    labels = _labels(scene, garment, skin | (hands & ~garment), head, hair, feet, skin_like)
    return RoughParse(labels, scene.person, share, tuple(_doubts(scene, share, centre)))


def person_mask(silhouette: np.ndarray, foreground: np.ndarray | None) -> np.ndarray:
    """bool: the silhouette, the foreground connected with it, holes filled."""
    both = silhouette if foreground is None else silhouette | foreground
    pieces, _ = ndimage.label(both)
    keep = np.unique(pieces[silhouette & (pieces > 0)])
    return ndimage.binary_fill_holes(np.isin(pieces, keep[keep > 0]))


class _Scene:
    def __init__(self, image: np.ndarray, landmarks: np.ndarray, person: np.ndarray):
        self.points, self.seen, self.person = landmarks[:, :2], landmarks[:, 2], person
        self.tall, self.wide = person.shape
        self.colours = _ycrcb(image)
        self.shoulders, self.hips = self.middle(SHOULDERS), self.middle(HIPS)
        self.trunk = float(np.linalg.norm(self.shoulders - self.hips))
        if self.trunk < 4:
            raise ValueError(
                "The pose's shoulders and hips fall together, so the body cannot be parsed; use a larger picture of the"
                " person."
            )
        self.up = (self.shoulders - self.hips) / self.trunk
        y, x = np.mgrid[: self.tall, : self.wide]
        self.height = ((x - self.shoulders[0]) * self.up[0] + (y - self.shoulders[1]) * self.up[1]) / self.trunk

    def middle(self, indices: Sequence[int]) -> np.ndarray:
        return self.points[list(indices)].mean(0)

    def tube(self, a: int, b: int, radius: float, beyond: float = 0.0) -> np.ndarray:
        start, end = self.points[a], self.points[b] + beyond * (self.points[b] - self.points[a])
        return capsule(self.wide, self.tall, start, end, radius * self.trunk, radius * self.trunk)

    def tubes(self, starts: Sequence[int], ends: Sequence[int], radius: float, beyond: float = 0.0) -> np.ndarray:
        return np.logical_or.reduce([self.tube(a, b, radius, beyond) for a, b in zip(starts, ends)])

    def distance(self, a: int, b: int) -> float:
        return float(np.linalg.norm(self.points[a] - self.points[b]))

    def disc(self, centre: np.ndarray, radius: float) -> np.ndarray:
        return capsule(self.wide, self.tall, centre, centre, radius, radius)


def _ycrcb(image: np.ndarray) -> np.ndarray:
    r, g, b = (image[..., k].astype(np.float64) for k in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([y, (r - y) * 0.713 + 128, (b - y) * 0.564 + 128], -1)


def _skin_model(scene: _Scene) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels have the colour of this face: Mahalanobis distance^2 below 9 in YCrCb. Also all distances^2."""
    ears, eyes = (scene.distance(*pair) for pair in (EARS, EYES))
    centre = scene.middle((NOSE, *EYES, *MOUTH))
    face = scene.disc(centre, max(0.42 * ears, 0.75 * eyes, 3.0)) & scene.person
    samples = scene.colours[face]
    if len(samples) < 5:
        return np.zeros(scene.person.shape, bool), np.full(scene.person.shape, np.inf)
    middle = np.median(samples, axis=0)
    samples = samples[(np.abs(samples - middle)[:, 1:] < 12).all(1)]
    spread = (np.cov(samples.T) if len(samples) > 2 else np.zeros((3, 3))) + np.diag([150.0, 12.0, 12.0])
    offset = scene.colours - middle
    distance = np.einsum("...i,ij,...j->...", offset, np.linalg.inv(spread), offset)
    return ndimage.binary_opening((distance < 9) & scene.person), distance


def _hands(scene: _Scene) -> np.ndarray:
    mask = np.zeros(scene.person.shape, bool)
    for elbow, wrist in zip(ELBOWS, WRISTS):
        if scene.seen[wrist] > 0.3:
            way = scene.points[wrist] - scene.points[elbow]
            mask |= scene.disc(scene.points[wrist] + 0.25 * way, 0.16 * scene.trunk)
    return mask & scene.person


def _feet(scene: _Scene) -> np.ndarray:
    mask = np.zeros(scene.person.shape, bool)
    for heel, toe in zip(HEELS, TOES):
        if scene.seen[heel] > 0.6:
            long = scene.distance(heel, toe)
            mask |= scene.disc((scene.points[heel] + scene.points[toe]) / 2, max(0.17 * scene.trunk, 0.75 * long))
    return mask & scene.person


def _hair(scene: _Scene) -> np.ndarray:
    crown = scene.points[NOSE] + 2.6 * (scene.points[NOSE] - scene.middle(MOUTH))
    x, y = np.rint(crown).astype(int)
    if not (0 <= x < scene.wide and 0 <= y < scene.tall) or not scene.person[y, x]:
        return np.zeros(scene.person.shape, bool)
    patch = scene.colours[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].reshape(-1, 3)
    offset = np.abs(scene.colours - np.median(patch, axis=0))
    alike = (0.5 * offset[..., 0] + offset[..., 1] + offset[..., 2] < 22) & scene.person & (scene.height > -0.45)
    pieces, _ = ndimage.label(alike)
    return (pieces == pieces[y, x]) if pieces[y, x] else np.zeros(scene.person.shape, bool)


def _core(scene: _Scene) -> np.ndarray:
    """The trunk without its edges: shoulders and hips pulled inwards, the top lowered."""
    corners = []
    for pair, pull in ((SHOULDERS, 0.2), (HIPS, 0.1)):
        middle = scene.middle(pair)
        for index in pair:
            corner = scene.points[index] + pull * (middle - scene.points[index])
            corners.append(corner - (0.12 * scene.trunk * scene.up if pair is SHOULDERS else 0))
    return hull_band(scene.wide, scene.tall, convex_order(np.stack(corners)), 0.0) & scene.person


def _skin(scene: _Scene, skin_like: np.ndarray, core: np.ndarray, share: float, ends: np.ndarray) -> np.ndarray:
    forearms = scene.tubes(ELBOWS, WRISTS, 0.12, 0.2)
    narrow_forearms = scene.tubes(ELBOWS, WRISTS, 0.11)
    neck = scene.height > -0.12
    if share <= SKIN_LIKE_GARMENT:
        limbs = scene.tubes(SHOULDERS, ELBOWS, 0.14) | forearms | scene.tubes(HIPS, KNEES, 0.22)
        limbs |= scene.tubes(KNEES, ANKLES, 0.18, 0.3)
        return skin_like & (limbs | neck | ends) & ~(core & ~narrow_forearms)
    cloth = np.median(scene.colours[core], axis=0)
    offset = np.abs(scene.colours - cloth)
    like_cloth = 0.5 * offset[..., 0] + offset[..., 1] + offset[..., 2] < 14
    skin = skin_like & (neck | (narrow_forearms & ~like_cloth))
    if (scene.seen[list(KNEES)] > 0.7).all():
        legs = scene.tubes(KNEES, ANKLES, 0.18, 0.3) | scene.tubes(HIPS, KNEES, 0.22)
        skin |= skin_like & legs & (scene.height < -1.75)
    return skin


def _clean(garment: np.ndarray) -> np.ndarray:
    opened = ndimage.binary_opening(garment)
    pieces, count = ndimage.label(opened)
    if not count:
        return garment
    sizes = np.bincount(pieces.ravel())[1:]
    kept = np.isin(pieces, 1 + np.flatnonzero(sizes > 0.12 * sizes.max()))
    return ndimage.binary_closing(kept, iterations=2) | kept


def _without_specks(mask: np.ndarray, smallest: float) -> np.ndarray:
    pieces, _ = ndimage.label(mask)
    return mask & (np.bincount(pieces.ravel())[pieces] >= smallest)


def _labels(
    scene: _Scene,
    garment: np.ndarray,
    skin: np.ndarray,
    head: np.ndarray,
    hair: np.ndarray,
    feet: np.ndarray,
    skin_like: np.ndarray,
) -> np.ndarray:
    labels = np.zeros(scene.person.shape, np.uint8)
    upper = garment & (scene.height > HIP_LEVEL)
    lower = garment & ~upper
    one_piece = _same_cloth(scene, upper, lower)
    names = ("dress", "dress") if one_piece else ("upper-clothes", "pants" if _has_two_legs(scene, lower) else "skirt")
    labels[upper], labels[lower] = ATR.index(names[0]), ATR.index(names[1])
    for region, joints, kind in (
        (skin & (scene.height > -1.0), WRISTS, "arm"),
        (skin & (scene.height <= -1.0), KNEES, "leg"),
    ):
        labels[region & _nearer(scene, joints, 0, kind)] = ATR.index(f"left-{kind}")
        labels[region & ~_nearer(scene, joints, 0, kind)] = ATR.index(f"right-{kind}")
    left_foot = _nearer(scene, HEELS, 0, "foot")
    labels[feet & left_foot], labels[feet & ~left_foot] = ATR.index("left-shoe"), ATR.index("right-shoe")
    neck = scene.person & (scene.height > -0.12) & skin_like
    labels[head | neck] = ATR.index("face")
    labels[(head & ~skin_like & _off_face(scene)) | hair] = ATR.index("hair")
    return np.where(scene.person, labels, 0).astype(np.uint8)


def _off_face(scene: _Scene) -> np.ndarray:
    centre, ears = scene.middle((NOSE, *MOUTH)), scene.distance(*EARS)
    return ~scene.disc(centre, max(0.6 * ears, 0.12 * scene.trunk))


def _nearer(scene: _Scene, pair: Sequence[int], first: int, kind: str) -> np.ndarray:
    """Pixels nearer to the left limb than to the right one."""
    chains = {"arm": (SHOULDERS, ELBOWS, WRISTS), "leg": (HIPS, KNEES, ANKLES), "foot": (ANKLES, HEELS, TOES)}[kind]
    distance = []
    for side in (0, 1):
        line = np.ones(scene.person.shape, bool)
        for a, b in itertools.pairwise(chains):
            line &= ~capsule(scene.wide, scene.tall, scene.points[a[side]], scene.points[b[side]], 1.0, 1.0)
        distance.append(ndimage.distance_transform_edt(line) if not line.all() else np.full(line.shape, np.inf))
    return distance[0] <= distance[1]


def _same_cloth(scene: _Scene, upper: np.ndarray, lower: np.ndarray) -> bool:
    if lower.sum() < 0.1 * max(1, upper.sum()):
        return False
    a, b = (np.median(scene.colours[part], axis=0) for part in (upper, lower)) if upper.any() else (0, 999)
    return bool(0.5 * abs(a - b)[0] + np.abs(a - b)[1:].sum() < 16) and not _has_two_legs(scene, lower)


def _has_two_legs(scene: _Scene, lower: np.ndarray) -> bool:
    """Whether background shows between the knees and ankles, or each shin has its own cloth: trousers, no skirt."""
    if not lower.any() or (scene.seen[list(ANKLES)] < 0.3).any():
        return False
    cloth_on_shins, gap = [], []
    for t in np.linspace(0.2, 0.8, 7):
        points = [scene.points[k] + t * (scene.points[a] - scene.points[k]) for k, a in zip(KNEES, ANKLES)]
        cloth_on_shins.append(all(_read(lower, p) for p in points))
        gap.append(not _read(lower, sum(points) / 2))
    return bool(np.mean(cloth_on_shins) > 0.5 and np.mean(gap) > 0.2)


def _read(mask: np.ndarray, point: np.ndarray) -> bool:
    x, y = np.rint(point).astype(int)
    return bool(0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and mask[y, x])


def _doubts(scene: _Scene, share: float, distance: np.ndarray) -> list[str]:
    notes = []
    if share > SKIN_LIKE_GARMENT:
        notes.append(
            f"low confidence: the garment has the colour of skin ({share:.0%} of the trunk), bare arms and legs may be"
            " missed"
        )
    if not np.isfinite(distance).any():
        notes.append("low confidence: no face colour was found")
    if (scene.seen[list(ANKLES)] < 0.3).any():
        notes.append("ankles are hidden or outside the picture: the lower body is guessed")
    return notes
