"""coords and owner: where in which flat-lay a cell of the person comes from."""

from dataclasses import replace

import numpy as np
import pytest
from atelier.craft.body.labels import ATR
from atelier.croquis import random_figure, render

ATR_OF = {
    "upper": {"upper-clothes"},
    "overall": {"dress"},
    "lower": {"skirt", "pants"},
    "shoe": {"left-shoe", "right-shoe"},
    "bag": {"bag"},
}


def hue(picture, x, y):
    """Mean colour of 3x3 pixels, brightness taken out (shading is the pose's)."""
    patch = picture[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 3).astype(float)
    mean = patch.mean(0)
    return mean / (mean.sum() + 1e-6), patch.std(0).max()


@pytest.mark.parametrize("scale", [1, 2])
def test_the_flat_lay_has_the_same_colour_there(scale):
    colours = ((220, 60, 40), (40, 90, 220), (240, 220, 60))
    same, control, cells = 0, 0, 0
    for seed in range(300, 310):
        spec = random_figure(seed, ("upper", "lower") if seed % 2 else ("overall", "shoe", "bag"))
        spec = replace(
            spec,
            garments=tuple(
                replace(g, pattern="stripes", colours=colours, period=26.0) if g.category not in ("shoe", "bag") else g
                for g in spec.garments
            ),
        )
        figure = render(spec, 192 * scale, 256 * scale, ("person", "flat", "coords"))
        for cy, cx in np.argwhere(figure.owner >= 0):
            here, spread = hue(figure.person, cx * 8 + 4, cy * 8 + 4)
            x, y = np.floor(figure.coords[cy, cx]).astype(int)
            flat = figure.flats[figure.owner[cy, cx]]
            there, there_spread = hue(flat, x, y)
            if spread > 12 or there_spread > 12:  # an edge of a stripe or a line of ink
                continue
            cells += 1
            same += np.abs(here - there).max() < 0.08
            wrong, _ = hue(flat, min(x + 13 * scale, flat.shape[1] - 2), min(y + 13 * scale, flat.shape[0] - 2))
            control += np.abs(here - wrong).max() < 0.08
    assert cells > 250
    assert same / cells > 0.97, f"{same} of {cells}"
    assert control / cells < 0.75, "thirteen pixels away it must not fit as well"


def test_owner_agrees_with_the_labels():
    for seed in range(320, 330):
        spec = random_figure(seed, ("upper", "lower", "shoe", "bag"))
        figure = render(spec, want=("coords", "parts"))
        assert figure.owner.dtype == np.int8 and figure.coords.dtype == np.float32
        centre = figure.atr[4::8, 4::8]
        for cy, cx in np.argwhere(figure.owner >= 0):
            around = figure.atr[cy * 8 + 3 : cy * 8 + 5, cx * 8 + 3 : cx * 8 + 5]
            names = {ATR[n] for n in np.unique(around)}
            assert names & ATR_OF[spec.garments[figure.owner[cy, cx]].category], (seed, cx, cy, names)
        assert (figure.owner[centre == 0] >= 0).mean() < 0.02


def test_coordinates_lie_on_the_flat_lay():
    for seed in range(330, 340):
        figure = render(random_figure(seed, ("upper", "lower", "shoe", "bag")), want=("coords", "flat_mask"))
        for index, mask in enumerate(figure.flat_masks):
            x, y = np.floor(figure.coords[figure.owner == index]).astype(int).T
            if len(x):
                slack = (
                    3 if figure.spec.garments[index].category in ("shoe", "bag") else 1
                )  # those flat-lays are enlarged
                padded = np.pad(mask, slack)
                near = [
                    padded[slack + dy + y, slack + dx + x] for dy in (-slack, 0, slack) for dx in (-slack, 0, slack)
                ]
                assert (np.max(near, axis=0) > 0).mean() > 0.97
                far = mask[np.clip(y + 40, 0, 255), np.clip(x + 40, 0, 191)] > 0
                assert far.mean() < 0.9
