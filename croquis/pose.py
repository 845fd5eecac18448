"""Poses: plain numbers, the skeleton they give on a body, COCO-18 keypoints and the OpenPose picture's geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .body import (
    ANKLE_Y,
    CENTRE_X,
    CHIN_Y,
    FOREARM,
    HEAD_TOP,
    HIP_JOINT_X,
    HIP_JOINT_Y,
    KNEE_Y,
    NECK_Y,
    SHOULDER_X,
    SHOULDER_Y,
    SOLE_Y,
    UPPER_ARM,
    Body,
    Skeleton,
)

ARMS = ("down", "hip", "out", "raised", "cross", "behind", "pocket")
STANCES = ("contrapposto", "straight", "wide", "walk", "crossed")


@dataclass(frozen=True)
class Pose:
    """Angles in degrees. Arms: upper-arm angle from hanging (outwards positive), forearm angle likewise."""

    stance: str = "straight"
    arm_names: tuple[str, str] = ("down", "down")
    arm_angles: tuple[tuple[float, float], tuple[float, float]] = ((28.0, 28.0), (28.0, 28.0))
    weight: int = 1
    hip_tilt: float = 0.0
    shoulder_tilt: float = 0.0
    lean: float = 0.0
    shift: float = 0.0
    head_tilt: float = 0.0
    leg_angles: tuple[tuple[float, float], tuple[float, float]] = ((1.5, 1.5), (1.5, 1.5))
    toe_angles: tuple[float, float] = (8.0, 8.0)


CANONICAL = Pose()


def random_pose(rng: np.random.Generator) -> Pose:
    """A croquis pose: weight on one leg, shoulders against hips, two arms out of ARMS."""
    weight = int(rng.choice((-1, 1)))
    stance = str(rng.choice(STANCES, p=(0.42, 0.18, 0.14, 0.16, 0.10)))
    strength = (
        float(rng.uniform(0.55, 1.0)) if stance in ("contrapposto", "walk", "crossed") else float(rng.uniform(0, 0.35))
    )
    hip = -8.5 * strength * weight
    names = [str(n) for n in rng.choice(ARMS, size=2, p=(0.31, 0.22, 0.17, 0.07, 0.09, 0.05, 0.09))]
    if names == ["cross", "cross"] or names == ["raised", "raised"]:
        names[1] = "down"
    arms = tuple(_arm_angles(name, rng) for name in names)
    legs, toes = _leg_angles(stance, weight, strength, rng)
    return Pose(
        stance=stance,
        arm_names=(names[0], names[1]),
        arm_angles=(arms[0], arms[1]),
        weight=weight,
        hip_tilt=hip,
        shoulder_tilt=-float(rng.uniform(0.3, 0.8)) * hip + float(rng.normal(0, 1.0)),
        lean=float(rng.normal(0, 1.3)),
        shift=6.3 * strength * weight,
        head_tilt=float(rng.normal(0, 3.5)),
        leg_angles=legs,
        toe_angles=toes,
    )


def _arm_angles(name: str, rng: np.random.Generator) -> tuple[float, float]:
    j = rng.uniform(-1, 1, 2)
    base = {
        "down": (14 + 6 * j[0], 7 + 8 * j[1]),
        "hip": (47 + 7 * j[0], -58 + 7 * j[1]),
        "out": (36 + 9 * j[0], 50 + 16 * j[1]),
        "raised": (62 + 10 * j[0], 148 + 14 * j[1]),
        "cross": (20 + 6 * j[0], -72 + 10 * j[1]),
        "behind": (22 + 5 * j[0], -28 + 8 * j[1]),
        "pocket": (30 + 5 * j[0], -16 + 6 * j[1]),
    }[name]
    return float(base[0]), float(base[1])


def _leg_angles(stance: str, weight: int, strength: float, rng: np.random.Generator) -> tuple[tuple, tuple]:
    j = rng.uniform(-1, 1, 4)
    if stance == "wide":
        both = ((9 + 3 * j[0], 7 + 2 * j[1]), (9 + 3 * j[2], 7 + 2 * j[3]))
        return tuple((float(a), float(b)) for a, b in both), (16.0, 16.0)
    if stance == "straight":
        both = ((3 + 1.5 * j[0], 1 + j[1]), (3 + 1.5 * j[2], 1 + j[3]))
        return tuple((float(a), float(b)) for a, b in both), (9.0, 9.0)
    loaded = (-2.5 - 4.0 * strength + j[0], -3.0 - 4.0 * strength + j[1])
    free = {
        "contrapposto": (11 + 6 * strength + 3 * j[2], 4 + 5 * j[3]),
        "walk": (2 + 3 * j[2], -7 + 3 * j[3]),
        "crossed": (-3 + 2 * j[2], -9 + 2 * j[3]),
    }[stance]
    legs = (loaded, free) if weight < 0 else (free, loaded)
    toes = (6.0, 20.0) if weight < 0 else (20.0, 6.0)
    return tuple((float(a), float(b)) for a, b in legs), toes


def build_skeleton(body: Body, pose: Pose) -> Skeleton:
    """Forward kinematics in design units; the soles always stand on the same ground line."""
    k = body.stature
    hip_a, shoulder_a = math.radians(pose.hip_tilt), math.radians(pose.shoulder_tilt)
    ground = SOLE_Y

    def up(y: float) -> float:
        return ground - (ground - y) * k

    pelvis = (CENTRE_X + pose.shift, up(HIP_JOINT_Y))
    lean = math.radians(pose.lean)
    height = (HIP_JOINT_Y - NECK_Y) * k
    neck = (pelvis[0] - 0.75 * pose.shift + height * math.sin(lean), pelvis[1] - height * math.cos(lean))
    legs, toes = _legs(body, pose, pelvis, hip_a, ground)
    left, right = (_arm(body, pose, neck, shoulder_a, side, k) for side in (-1, 1))
    head_h = (CHIN_Y - HEAD_TOP) * k * body.head
    head_a = math.radians(pose.head_tilt)
    chin = (neck[0] + 0.1 * pose.shift * -1, neck[1] - (NECK_Y - CHIN_Y) * k)
    head = (chin[0] + math.sin(head_a) * head_h / 2, chin[1] - math.cos(head_a) * head_h / 2)
    return Skeleton(body, head, head_a, neck, pelvis, shoulder_a, hip_a, 0.30 * pose.shift, (left, right), legs, toes)


def _legs(body: Body, pose: Pose, pelvis: tuple, hip_a: float, ground: float) -> tuple[tuple, tuple]:
    k = body.stature
    thigh, shin, foot = (KNEE_Y - HIP_JOINT_Y) * k, (ANKLE_Y - KNEE_Y) * k, (SOLE_Y - ANKLE_Y) * k
    legs, toes = [], []
    for i, side in enumerate((-1, 1)):
        off = HIP_JOINT_X * body.hips * side
        hip = (pelvis[0] + off * math.cos(hip_a), pelvis[1] + off * math.sin(hip_a))
        upper, lower = (math.radians(a) for a in pose.leg_angles[i])
        knee = (hip[0] + side * thigh * math.sin(upper), hip[1] + thigh * math.cos(upper))
        ankle = (knee[0] + side * shin * math.sin(lower), knee[1] + shin * math.cos(lower))
        rest = ground - 14.0 * k + (1.5 if side == pose.weight else -1.5) * abs(math.sin(hip_a)) * 10
        ankle = (ankle[0], min(ankle[1], ground - 10.0 * k) * 0.4 + rest * 0.6)
        legs.append((hip, knee, ankle))
        toe = math.radians(pose.toe_angles[i])
        toes.append((ankle[0] + side * foot * math.sin(toe), ankle[1] + foot * math.cos(toe)))
    return (legs[0], legs[1]), (toes[0], toes[1])


def _arm(body: Body, pose: Pose, neck: tuple, shoulder_a: float, side: int, k: float) -> tuple:
    upper, lower = (math.radians(a) for a in pose.arm_angles[0 if side < 0 else 1])
    dx, dy = SHOULDER_X * body.shoulders * side, (SHOULDER_Y - NECK_Y) * k
    shoulder = (
        neck[0] + dx * math.cos(shoulder_a) - dy * math.sin(shoulder_a),
        neck[1] + dx * math.sin(shoulder_a) + dy * math.cos(shoulder_a),
    )
    reach = 0.94 if abs(upper - lower) > 1.2 else 1.0  # a strongly bent arm points a little to the viewer
    elbow = (shoulder[0] + side * UPPER_ARM * k * math.sin(upper), shoulder[1] + UPPER_ARM * k * math.cos(upper))
    wrist = (elbow[0] + side * FOREARM * k * reach * math.sin(lower), elbow[1] + FOREARM * k * reach * math.cos(lower))
    return shoulder, elbow, wrist


def head_point(skeleton: Skeleton, x: float, y: float) -> tuple[float, float]:
    """A point of the head frame (units of head half-height; x to image right, y down) in design units."""
    half = (CHIN_Y - HEAD_TOP) * skeleton.body.stature * skeleton.body.head / 2
    c, s = math.cos(skeleton.head_angle), math.sin(skeleton.head_angle)
    return (skeleton.head[0] + half * (x * c - y * s), skeleton.head[1] + half * (x * s + y * c))


def head_frame(skeleton: Skeleton) -> tuple[np.ndarray, tuple[float, float]]:
    """Matrix and centre: points (N,2) of the head frame @ matrix + centre lie in design units."""
    half = (CHIN_Y - HEAD_TOP) * skeleton.body.stature * skeleton.body.head / 2
    c, s = half * math.cos(skeleton.head_angle), half * math.sin(skeleton.head_angle)
    return np.array([(c, s), (-s, c)]), skeleton.head


def keypoints(skeleton: Skeleton) -> np.ndarray:
    """COCO-18 (OpenPose order) in design units: float32 [18,3], confidence 1. The person's right is image left."""
    (rs, re, rw), (ls, le, lw) = skeleton.arms
    (rh, rk, ra), (lh, lk, la) = skeleton.legs
    face = [
        head_point(skeleton, x, y) for x, y in ((0, 0.22), (-0.27, -0.02), (0.27, -0.02), (-0.7, 0.08), (0.7, 0.08))
    ]
    points = [face[0], skeleton.neck, rs, re, rw, ls, le, lw, rh, rk, ra, lh, lk, la, *face[1:]]
    out = np.ones((18, 3), np.float32)
    out[:, :2] = np.asarray(points, np.float32)
    return out
