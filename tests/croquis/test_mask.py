"""The agnostic mask: covers everything that is worn, and gives nothing of it away."""

from dataclasses import replace

import numpy as np
import pytest
from atelier.craft.body.labels import ATR, PARTS, where
from atelier.croquis import random_figure, render
from atelier.croquis.garment import KINDS, random_garment

OUTFITS = [("upper", "lower"), ("overall",), ("upper",), ("lower",), ("shoe",), ("bag",),
           ("upper", "lower", "shoe", "bag"), ("upper", "lower", "upper"), ("overall", "upper", "shoe")]  # fmt: skip
GARMENT = {"upper": ("upper-clothes",), "lower": ("skirt", "pants"), "overall": ("dress",),
           "shoe": ("left-shoe", "right-shoe"), "bag": ("bag",)}  # fmt: skip


def worn(figure, categories):
    """Pixels of the outfit's garments; slippers, camisole and leggings of an undressed figure are not among them."""
    names = [n for c in set(categories) for n in GARMENT[c]]
    return where(figure.atr, names, ATR)


@pytest.mark.parametrize("outfit", OUTFITS, ids="+".join)
def test_every_garment_pixel_is_inside(outfit):
    for seed in range(200, 224):
        figure = render(random_figure(seed, outfit), want=("mask", "parts"))
        outside = worn(figure, outfit) & (figure.mask == 0)
        assert not outside.any(), f"seed {seed}: {outside.sum()} pixels at {np.argwhere(outside)[:3].tolist()}"
        assert 0.01 < (figure.mask > 0).mean() < 0.6


@pytest.mark.parametrize("category", ["upper", "lower", "overall", "shoe", "bag"])
def test_the_mask_knows_the_category_and_nothing_else(category):
    base = random_figure(31, (category,))
    masks = set()
    for n in range(14):
        kind = KINDS[category][n % len(KINDS[category])]
        garment = random_garment(np.random.Generator(np.random.PCG64(n)), category, kind)
        masks.add(render(replace(base, garments=(garment,)), want=("mask",)).mask.tobytes())
    assert len(masks) == 1
    moved = replace(base, pose=random_figure(32).pose)
    assert render(moved, want=("mask",)).mask.tobytes() not in masks, "the pose must matter"


def test_head_hands_and_feet_stay_out():
    seen = 0
    for seed in range(230, 250):
        spec = random_figure(seed, ("upper", "lower"))
        figure = render(spec, want=("mask", "parts"))
        inside = figure.mask > 0
        assert not (inside & where(figure.parts, ("face",), PARTS)).any()
        for side, name in enumerate(("right", "left")):
            hand = where(figure.parts, (f"{name} hand",), PARTS)
            if spec.pose.arm_names[side] != "behind" and "cross" not in spec.pose.arm_names and hand.any():
                seen += 1
                assert (inside & hand).sum() == 0
        feet = where(figure.atr, ("left-shoe", "right-shoe"), ATR)
        assert (inside & feet).sum() < 0.1 * max(feet.sum(), 1)
    assert seen > 15


def test_categories_have_masks_of_their_own():
    areas = {c: (render(random_figure(33, (c,)), want=("mask",)).mask > 0) for c in ("upper", "lower", "shoe", "bag")}
    both = render(random_figure(33, ("upper", "lower")), want=("mask",)).mask > 0
    assert areas["shoe"].sum() < areas["upper"].sum() and areas["bag"].sum() < areas["lower"].sum()
    assert np.array_equal(both, areas["upper"] | areas["lower"])
