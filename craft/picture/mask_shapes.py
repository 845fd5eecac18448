"""Shapes as boolean masks (capsule, ellipse, widened hull), and growing and feathering of masks."""

from __future__ import annotations

import numpy as np

Corner = tuple[float, float]


def capsule(width: int, height: int, a: np.ndarray, b: np.ndarray, r0: float, r1: float) -> np.ndarray:
    """bool [height,width]: pixels within a radius of the segment a-b, the radius going from r0 at a to r1 at b."""
    reach = max(r0, r1) + 1
    view, _, _ = _window(width, height, np.minimum(a, b) - reach, np.maximum(a, b) + reach)
    mask = np.zeros((height, width), bool)
    rows, cols = np.mgrid[view]
    way = b - a
    t = np.clip(((cols - a[0]) * way[0] + (rows - a[1]) * way[1]) / max(float(way @ way), 1e-12), 0, 1)
    distance = np.hypot(cols - a[0] - t * way[0], rows - a[1] - t * way[1])
    mask[view] = distance <= r0 + t * (r1 - r0)
    return mask


def ellipse(
    width: int, height: int, centre: np.ndarray, axis: np.ndarray, half: float, half_across: float
) -> np.ndarray:
    """bool [height,width]: an ellipse with half axis `half` along the unit vector `axis`."""
    view, _, _ = _window(width, height, centre - max(half, half_across) - 1, centre + max(half, half_across) + 1)
    mask = np.zeros((height, width), bool)
    rows, cols = np.mgrid[view]
    x, y = cols - centre[0], rows - centre[1]
    along, across = x * axis[0] + y * axis[1], -x * axis[1] + y * axis[0]
    mask[view] = (along / max(half, 1e-9)) ** 2 + (across / max(half_across, 1e-9)) ** 2 <= 1
    return mask


def hull_band(width: int, height: int, points: np.ndarray, radius: float) -> np.ndarray:
    """bool [height,width]: the convex hull of points, widened by a radius."""
    order = convex_order(points)
    mask = np.zeros((height, width), bool)
    view, _, _ = _window(width, height, points.min(0) - radius - 1, points.max(0) + radius + 1)
    rows, cols = np.mgrid[view]
    inside = np.ones(rows.shape, bool) if len(order) > 2 else np.zeros(rows.shape, bool)
    near = np.full(rows.shape, np.inf)
    for a, b in zip(order, np.roll(order, -1, axis=0)):
        way = b - a
        inside &= (cols - a[0]) * way[1] - (rows - a[1]) * way[0] <= 0
        t = np.clip(((cols - a[0]) * way[0] + (rows - a[1]) * way[1]) / max(float(way @ way), 1e-12), 0, 1)
        near = np.minimum(near, np.hypot(cols - a[0] - t * way[0], rows - a[1] - t * way[1]))
    mask[view] = inside | (near <= radius)
    return mask


def convex_order(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull of points [n,2], in one turning direction (cross product positive)."""
    unique = sorted({(float(x), float(y)) for x, y in points})
    if len(unique) < 3:
        return np.array(unique)

    def chain(items: list[Corner]) -> list[Corner]:
        side: list[Corner] = []
        for p in items:
            while len(side) > 1 and _cross(side[-2], side[-1], p) <= 0:
                side.pop()
            side.append(p)
        return side[:-1]

    return np.array(chain(unique) + chain(unique[::-1]))


def _cross(o: Corner, a: Corner, b: Corner) -> float:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def _window(width: int, height: int, low: np.ndarray, high: np.ndarray) -> tuple[tuple[slice, slice], int, int]:
    left, top = int(np.clip(np.floor(low[0]), 0, width)), int(np.clip(np.floor(low[1]), 0, height))
    right, bottom = int(np.clip(np.ceil(high[0]) + 1, left, width)), int(np.clip(np.ceil(high[1]) + 1, top, height))
    return (slice(top, bottom), slice(left, right)), left, top


def dilate(mask: np.ndarray, radius: float) -> np.ndarray:
    """bool mask grown by a radius in pixels (round); a negative radius shrinks it. Exact, by distances."""
    from scipy.ndimage import distance_transform_edt

    if radius == 0 or not mask.any():
        return mask.copy()
    if radius > 0:
        return distance_transform_edt(~mask) <= radius
    return distance_transform_edt(mask) > -radius
