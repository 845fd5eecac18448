"""The agnostic mask, out of body, pose and garment categories alone; wide enough for every garment of a category."""

from __future__ import annotations

import numpy as np

from .body import CENTRE_X, Skeleton, foot_warp, limb_warp, torso_warp


def _torso_region(skeleton: Skeleton, profile: list[tuple[float, float]]) -> np.ndarray:
    """Region of the torso frame from (y, half-width) pairs."""
    y, w = np.asarray(profile, np.float64).T
    fine = np.linspace(y[0], y[-1], 24)
    half = np.interp(fine, y, w)
    right = np.stack([CENTRE_X + half, fine], axis=1)
    left = np.stack([CENTRE_X - half, fine], axis=1)[::-1]
    return torso_warp(skeleton, np.concatenate([right, left]))


def _limb_region(joints: tuple, side: int, thickness: float, s: tuple[float, float], widths: list[float]) -> np.ndarray:
    fine = np.linspace(s[0], s[1], 16)
    half = np.interp(fine, np.linspace(s[0], s[1], len(widths)), widths)
    out = np.concatenate([np.stack([half, fine], 1), np.stack([-half, fine], 1)[::-1]])
    return limb_warp(joints, side, thickness, out)


def sleeve_region(skeleton: Skeleton, side: int) -> np.ndarray:
    """Where any sleeve of this arm may lie (design units)."""
    return _limb_region(skeleton.arm(side), side, skeleton.body.limbs, (-0.30, 2.03), [16, 19, 19, 18, 18, 18.5, 19])


def regions(skeleton: Skeleton, categories: tuple[str, ...]) -> list[np.ndarray]:
    """Polygons (design units) whose union is the mask, before hands, head, hair and feet are taken out."""
    out: list[np.ndarray] = []
    limbs = skeleton.body.limbs
    if {"upper", "overall"} & set(categories):
        out.append(
            _torso_region(skeleton, [(41, 10), (48, 14), (53, 26), (72, 28), (92, 27), (118, 32), (150, 39), (172, 44)])
        )
        out += [sleeve_region(skeleton, side) for side in (-1, 1)]
    if {"lower", "overall"} & set(categories):
        out.append(_torso_region(skeleton, [(83, 22), (92, 24), (105, 30), (116, 34), (141, 44), (180, 54), (225, 63)]))
        for side in (-1, 1):
            out.append(_limb_region(skeleton.leg(side), side, limbs, (-0.1, 2.02), [17, 17, 17, 18, 19]))
    if "shoe" in categories:
        for side in (-1, 1):
            out.append(_limb_region(skeleton.leg(side), side, limbs, (1.30, 2.05), [11, 11, 11]))
            out.append(
                foot_warp(
                    skeleton, side, np.array([(10, -0.4), (12, 0.6), (11, 1.6), (-11, 1.6), (-12, 0.6), (-10, -0.4)])
                )
            )
    if "bag" in categories:
        from .accessory import bag_region

        out.append(bag_region(skeleton))
    return out
