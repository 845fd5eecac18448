"""Body shapes, the skeleton in picture coordinates, and the two warps (torso, limb) that carry drawings onto a pose.

Design units: the figure lives on a canvas 192 wide and 256 high; `picture` scales it. Image left is the person's
right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CANVAS = (192.0, 256.0)
CENTRE_X = 96.0
HEAD_TOP, CHIN_Y, NECK_Y, SHOULDER_Y = 12.0, 39.0, 51.0, 59.0
CHEST_Y, WAIST_Y, HIP_JOINT_Y, HIP_Y = 70.0, 90.0, 115.0, 114.0
KNEE_Y, ANKLE_Y, SOLE_Y = 173.0, 227.0, 241.0
SHOULDER_X, HIP_JOINT_X = 17.8, 9.3
UPPER_ARM, FOREARM = 36.0, 33.0

# half-widths of the canonical torso (design units) by height; garments are cut over them
TORSO_Y = np.array([47.0, 51.0, 54.5, 60.0, 70.0, 80.0, 90.0, 102.0, 113.0, 121.0, 128.0])
TORSO_W = np.array([4.8, 7.5, 14.5, 18.0, 17.2, 14.8, 13.2, 16.2, 18.6, 18.6, 16.0])
ARM_S = np.array([-0.13, -0.09, 0.0, 0.25, 0.8, 1.0, 1.25, 1.85, 2.05])
ARM_W = np.array([1.6, 3.5, 5.0, 5.3, 4.3, 3.9, 4.4, 2.8, 2.6])
LEG_S = np.array([-0.12, 0.0, 0.2, 0.6, 0.93, 1.05, 1.3, 1.6, 1.9, 2.03])
LEG_W = np.array([8.0, 9.5, 9.8, 7.7, 5.7, 5.5, 6.2, 4.7, 3.1, 3.1])


HAIR_STYLES = ("bob", "long", "bun", "short", "ponytail", "afro", "waves", "crop", "braid")


@dataclass(frozen=True)
class Body:
    """Proportions as factors of the canonical croquis (1 = canonical) and the look of skin, face and hair."""

    stature: float = 1.0
    shoulders: float = 1.0
    chest: float = 1.0
    waist: float = 1.0
    hips: float = 1.0
    limbs: float = 1.0
    head: float = 1.0
    skin: tuple[int, int, int] = (233, 190, 160)
    hair_colour: tuple[int, int, int] = (70, 45, 35)
    hair: str = "bob"
    hair_front: bool = False
    lips: tuple[int, int, int] = (178, 74, 74)
    eyes: tuple[int, int, int] = (60, 45, 40)
    base: tuple[int, int, int] = (84, 82, 88)


@dataclass(frozen=True)
class Skeleton:
    """Joints in design units. `side` -1 is image left (the person's right), +1 image right."""

    body: Body
    head: tuple[float, float]
    head_angle: float
    neck: tuple[float, float]
    pelvis: tuple[float, float]
    shoulder_angle: float
    hip_angle: float
    bulge: float
    arms: tuple[tuple, tuple]  # (image left, image right), each (shoulder, elbow, wrist)
    legs: tuple[tuple, tuple]  # each (hip, knee, ankle)
    toes: tuple[tuple, tuple]

    def arm(self, side: int) -> tuple:
        return self.arms[0 if side < 0 else 1]

    def leg(self, side: int) -> tuple:
        return self.legs[0 if side < 0 else 1]

    def toe(self, side: int) -> tuple:
        return self.toes[0 if side < 0 else 1]


def smoothstep(edge0: float, edge1: float, x: np.ndarray) -> np.ndarray:
    u = np.minimum(np.maximum((x - edge0) * (1.0 / (edge1 - edge0)), 0.0), 1.0)
    return u * u * (3.0 - 2.0 * u)


def torso_warp(skeleton: Skeleton, points: np.ndarray) -> np.ndarray:
    """Canonical torso points (N,2) carried onto the posed torso; below the hip joints they follow the legs (skirts).

    The spine is a line from neck to pelvis with a sideways bulge; the cross direction turns from the shoulders' tilt
    to the hips'. Below the hips the half-width follows the outer edge of each leg, so a skirt always covers a wide
    stance.
    """
    body = skeleton.body
    x, y = points[:, 0] - CENTRE_X, points[:, 1]
    v = (y - NECK_Y) / (HIP_JOINT_Y - NECK_Y)
    inside = np.clip(v, 0.0, 1.0)
    (nx, ny), (px, py) = skeleton.neck, skeleton.pelvis
    cx = nx + (px - nx) * np.minimum(v, 1.0) + skeleton.bulge * np.sin(np.pi * inside)
    cy = ny + (py - ny) * v
    angle = skeleton.shoulder_angle + (skeleton.hip_angle - skeleton.shoulder_angle) * smoothstep(0.05, 0.95, v)
    width = np.interp(y, [54.0, 68.0, WAIST_Y, HIP_Y], [body.shoulders, body.chest, body.waist, body.hips])
    low = v > 1.0
    if low.any():
        t = np.clip((y - HIP_JOINT_Y) / (ANKLE_Y - HIP_JOINT_Y), 0.0, 1.1)
        knee_t = (KNEE_Y - HIP_JOINT_Y) / (ANKLE_Y - HIP_JOINT_Y)
        grid = [0.0, knee_t, 1.0]
        left, right = skeleton.legs
        lx = np.interp(t, grid, [left[0][0], left[1][0], left[2][0]])
        rx = np.interp(t, grid, [right[0][0], right[1][0], right[2][0]])
        ly = np.interp(t, grid, [left[0][1], left[1][1], left[2][1]])
        ry = np.interp(t, grid, [right[0][1], right[1][1], right[2][1]])
        radius = np.interp(t, grid, [10.0, 7.5, 5.0])
        blend = smoothstep(0.0, 0.55, t)
        middle = (1.0 - blend) * px + blend * (lx + rx) / 2.0
        spread_left = (middle - np.minimum(lx, rx) + radius) / (HIP_JOINT_X + radius)
        spread_right = (np.maximum(lx, rx) - middle + radius) / (HIP_JOINT_X + radius)
        share = smoothstep(-12.0, 12.0, x)
        spread = np.clip((1.0 - share) * spread_left + share * spread_right, 0.85, 2.2)
        spread = body.hips * (1.0 - blend) + spread * blend
        core = np.minimum(1.0, (HIP_JOINT_X + radius + 3.0) / np.maximum(np.abs(x), 1e-6))
        spread = 1.0 + (spread - 1.0) * core  # a full skirt is moved by the legs, not stretched
        gone = 1.0 - 0.6 * blend
        below_y = (ly + ry) / 2.0 + (py - (left[0][1] + right[0][1]) / 2.0)
        cx = np.where(low, middle, cx)
        cy = np.where(low, below_y, cy)
        width = np.where(low, spread, width)
        angle = np.where(low, skeleton.hip_angle * gone, angle)
    dx = x * width
    out = np.empty_like(points)
    out[:, 0], out[:, 1] = cx + dx * np.cos(angle), cy + dx * np.sin(angle)
    return out


def limb_warp(joints: tuple, side: int, thickness: float | np.ndarray, points: np.ndarray) -> np.ndarray:
    """Limb points (N,2) = (t outwards in design units, s: 0 at the first joint, 1 at the second, 2 at the third)
    carried onto a bent limb whose middle joint is rounded.
    """
    (ax, ay), (bx, by), (cx, cy) = joints
    t, s = points[:, 0] * (thickness * side), points[:, 1]
    r = 0.34
    u = np.minimum(np.maximum((s - (1.0 - r)) * (0.5 / r), 0.0), 1.0)
    # before and after the rounded part the limb is straight: there `u` stands still and `along` runs on
    before, after = np.minimum(s - (1.0 - r), 0.0), np.maximum(s - (1.0 + r), 0.0)
    v = 1.0 - u
    near, far, both = v * v * r, u * u * r, v * r
    x = bx + (ax - bx) * (near - before) + (cx - bx) * (far + after)
    y = by + (ay - by) * (near - before) + (cy - by) * (far + after)
    tx, ty = both * (bx - ax) + u * r * (cx - bx), both * (by - ay) + u * r * (cy - by)
    k = t / np.sqrt(tx * tx + ty * ty + 1e-9)
    out = np.empty_like(points)
    out[:, 0], out[:, 1] = x + ty * k, y - tx * k
    return out


def arm_warp(skeleton: Skeleton, side: int, points: np.ndarray) -> np.ndarray:
    return limb_warp(skeleton.arm(side), side, skeleton.body.limbs, points)


def leg_warp(skeleton: Skeleton, side: int, points: np.ndarray) -> np.ndarray:
    """Legs are as thick as the hips where they begin."""
    body = skeleton.body
    share = smoothstep(0.0, 0.6, points[:, 1])
    return limb_warp(skeleton.leg(side), side, body.hips + (body.limbs - body.hips) * share, points)


def foot_warp(skeleton: Skeleton, side: int, points: np.ndarray) -> np.ndarray:
    """Foot points (N,2) = (t outwards, s: 0 at the ankle, 1 at the toe tip)."""
    ankle, toe = np.asarray(skeleton.leg(side)[2]), np.asarray(skeleton.toe(side))
    middle = (ankle + toe) / 2.0
    scaled = np.stack([points[:, 0], points[:, 1] * 2.0], axis=1)
    return limb_warp((tuple(ankle), tuple(middle), tuple(toe)), side, skeleton.body.limbs, scaled)


def bend(joints: tuple) -> float:
    """Angle in radians by which the middle joint is bent (0 = straight)."""
    (ax, ay), (bx, by), (cx, cy) = joints
    turn = math.atan2(cy - by, cx - bx) - math.atan2(by - ay, bx - ax)
    return abs((turn + math.pi) % (2 * math.pi) - math.pi)
