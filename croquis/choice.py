"""A figure by wishes: which outfit, kinds, patterns, colours and pose; the seeds decide the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .colours import COLOURS, PATTERNS, luminance
from .figure import FigureSpec, random_figure
from .garment import KINDS, GarmentSpec, random_garment
from .pose import ARMS, STANCES, Pose, random_pose

ANY, NONE = "any", "none"
OUTFITS: dict[str, tuple[str, ...]] = {
    "top and bottom": ("upper", "lower"),
    "dress or jumpsuit": ("overall",),
    "top alone": ("upper",),
    "bottom alone": ("lower",),
    "top, bottom and open jacket": ("upper", "lower", "upper"),
    "dress and open jacket": ("overall", "upper"),
}  # fmt: skip
TRIES = 3000


@dataclass(frozen=True)
class Wishes:
    """What an artist asks for; "any" leaves it to the seed. kind: of the main garments, by category."""

    outfit: str = "top and bottom"
    top: str = ANY
    bottom: str = ANY
    dress: str = ANY
    top_pattern: str = ANY
    top_colour: str = ANY
    bottom_pattern: str = ANY
    bottom_colour: str = ANY
    shoes: str = NONE
    bag: str = NONE
    stance: str = ANY
    arms: str = ANY


def figure_of(seed: int, outfit_seed: int, wishes: Wishes) -> FigureSpec:
    """The figure of a seed in the outfit of another seed. Raises ValueError for an unknown choice.

    With every wish at "any" and equal seeds it is `random_figure` of that seed and outfit.
    """
    check_choices(wishes)
    categories = OUTFITS[wishes.outfit] + tuple(
        c for c, w in (("shoe", wishes.shoes), ("bag", wishes.bag)) if w != NONE
    )
    person, dressed = random_figure(seed, ()), random_figure(outfit_seed, categories)
    garments = tuple(_as_wished(g, i, outfit_seed, wishes) for i, g in enumerate(dressed.garments))
    return replace(person, pose=_pose_of(seed, person.pose, wishes), garments=garments)


def check_choices(wishes: Wishes) -> None:
    for name, choices in (
        ("outfit", tuple(OUTFITS)),
        ("top", (ANY, *KINDS["upper"])),
        ("bottom", (ANY, *KINDS["lower"])),
        ("dress", (ANY, *KINDS["overall"])),
        ("shoes", (NONE, ANY, *KINDS["shoe"])),
        ("bag", (NONE, ANY, *KINDS["bag"])),
        ("top_pattern", (ANY, *PATTERNS)),
        ("bottom_pattern", (ANY, *PATTERNS)),
        ("top_colour", (ANY, *COLOURS)),
        ("bottom_colour", (ANY, *COLOURS)),
        ("stance", (ANY, *STANCES)),
        ("arms", (ANY, *ARMS)),
    ):
        value = getattr(wishes, name)
        if value not in choices:
            raise ValueError(f"Croquis {name.replace('_', ' ')} is {value!r}; it must be one of: {', '.join(choices)}.")


def _as_wished(garment: GarmentSpec, index: int, seed: int, wishes: Wishes) -> GarmentSpec:
    if garment.open:
        return garment
    kind = {
        "upper": wishes.top,
        "lower": wishes.bottom,
        "overall": wishes.dress,
        "shoe": wishes.shoes,
        "bag": wishes.bag,
    }
    wanted = kind[garment.category]
    if wanted not in (ANY, garment.kind):
        own = np.random.Generator(np.random.PCG64([int(seed), 22, index]))
        fresh = random_garment(own, garment.category, wanted)
        garment = replace(
            fresh, pattern=garment.pattern, colours=garment.colours, period=garment.period, angle=garment.angle
        )
    if garment.category in ("upper", "overall"):
        return _in_fabric(garment, wishes.top_pattern, wishes.top_colour)
    return _in_fabric(garment, wishes.bottom_pattern, wishes.bottom_colour) if garment.category == "lower" else garment


def _in_fabric(garment: GarmentSpec, pattern: str, colour: str) -> GarmentSpec:
    if pattern != ANY:
        garment = garment.with_pattern(pattern)
    if colour != ANY:
        ground, (_, motif, accent) = COLOURS[colour], garment.colours
        if abs(luminance(ground) - luminance(motif)) < 60:  # keep the pattern visible on the wished ground
            motif = COLOURS["ivory"] if luminance(ground) < 130 else COLOURS["navy"]
        garment = replace(garment, colours=(ground, motif, accent))
    return garment


def _pose_of(seed: int, drawn: Pose, wishes: Wishes) -> Pose:
    """The first pose of the seed that is as wished: at least one arm, and the stance."""
    rng = np.random.Generator(np.random.PCG64([int(seed), 23]))
    pose = drawn
    for _ in range(TRIES):
        if wishes.stance in (ANY, pose.stance) and (wishes.arms == ANY or wishes.arms in pose.arm_names):
            return pose
        pose = random_pose(rng)
    raise ValueError(
        f"No pose with stance {wishes.stance!r} and arms {wishes.arms!r} came up for seed {seed}; take another seed."
    )
