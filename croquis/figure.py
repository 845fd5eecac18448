"""A whole figure as plain data: body, pose, background and garments, and its random draw from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .body import HAIR_STYLES, Body
from .colours import Colour
from .garment import SLIM_SLEEVES, GarmentSpec, random_garment, random_outer
from .pose import Pose, random_pose

SKINS = (
    (250, 222, 202), (240, 202, 176), (228, 182, 150), (208, 156, 120), (178, 124, 90), (146, 98, 70), (112, 74, 54),
    (84, 56, 44),
)  # fmt: skip
HAIRS = (
    (34, 28, 30), (58, 40, 34), (92, 60, 42), (134, 86, 52), (186, 134, 78), (222, 184, 122), (150, 62, 38),
    (176, 170, 168), (70, 30, 34),
)  # fmt: skip
PAPERS = (
    (243, 239, 231), (236, 238, 240), (240, 231, 226), (229, 236, 230), (226, 232, 240), (245, 236, 214),
    (234, 228, 238), (222, 222, 220), (216, 226, 228), (236, 220, 212),
)  # fmt: skip
BASES = ((92, 88, 92), (70, 72, 82), (118, 106, 100))
LIPS = ((178, 74, 74), (196, 92, 92), (150, 58, 66), (206, 110, 100))
EYES = ((60, 45, 40), (56, 74, 92), (66, 84, 62))


@dataclass(frozen=True)
class Background:
    top: Colour = (243, 239, 231)
    bottom: Colour = (228, 222, 212)
    panel: int = 0  # 0 plain gradient, 1 floor line, 2 tinted panel behind the figure


@dataclass(frozen=True)
class FigureSpec:
    """Everything a picture is made of; plain data, so it can be hashed, compared and changed with `replace`."""

    body: Body
    pose: Pose
    background: Background
    garments: tuple[GarmentSpec, ...]
    seed: int = 0


def random_figure(seed: int, garments: tuple[str, ...] | None = None) -> FigureSpec:
    """The figure of a seed. `garments`: categories to wear (`upper`, `lower`, `overall`, `shoe`, `bag`), or None: the
    seed chooses top and bottom (3 of 4) or one overall. An upper garment after another one or after an overall is a
    jacket or coat worn open over it. Each garment is drawn by its own generator: adding a shoe or a bag changes no
    other garment.
    """
    rng = np.random.Generator(np.random.PCG64([int(seed), 20]))
    body = _random_body(rng)
    pose = random_pose(rng)
    background = _random_background(rng)
    if garments is None:
        garments = ("upper", "lower") if rng.random() < 0.75 else ("overall",)
    outfit = []
    for i, category in enumerate(garments):
        own = np.random.Generator(np.random.PCG64([int(seed), 21, i]))
        layered = category == "upper" and bool({"upper", "overall"} & set(garments[:i]))
        outfit.append(random_outer(own) if layered else random_garment(own, category))
    if any(g.open for g in outfit):  # wide sleeves do not fit under another sleeve
        outfit = [g if g.open or g.sleeve_type in SLIM_SLEEVES else replace(g, sleeve_type="regular") for g in outfit]
    return FigureSpec(body, pose, background, tuple(outfit), int(seed))


def _random_body(rng: np.random.Generator) -> Body:
    def near(low: float, high: float) -> float:
        return float(rng.triangular(low, (low + high) / 2, high))

    size = near(0.92, 1.16)
    skin_mix, i = float(rng.random()), int(rng.integers(len(SKINS) - 1))
    skin = _between(SKINS[i], SKINS[i + 1], skin_mix)
    lips = LIPS[int(rng.integers(len(LIPS)))]
    return Body(
        stature=near(0.955, 1.0),
        shoulders=size * near(0.93, 1.08),
        chest=size * near(0.95, 1.07),
        waist=size * near(0.92, 1.12),
        hips=size * near(0.94, 1.09),
        limbs=(1 + size) / 2 * near(0.92, 1.1),
        head=near(0.96, 1.05),
        skin=skin,
        hair_colour=HAIRS[int(rng.integers(len(HAIRS)))],
        hair=HAIR_STYLES[int(rng.integers(len(HAIR_STYLES)))],
        hair_front=bool(rng.random() < 0.45),
        lips=(_lip(lips[0], skin[0]), _lip(lips[1], skin[1]), _lip(lips[2], skin[2])),
        eyes=EYES[int(rng.integers(len(EYES)))],
        base=BASES[int(rng.integers(len(BASES)))],
    )


def _random_background(rng: np.random.Generator) -> Background:
    top = PAPERS[int(rng.integers(len(PAPERS)))]
    k = float(rng.uniform(0.88, 0.98))
    return Background(top, (int(top[0] * k), int(top[1] * k), int(top[2] * k)), int(rng.integers(3)))


def _between(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _lip(own: int, skin: int) -> int:
    return int(0.65 * own + 0.35 * skin)
