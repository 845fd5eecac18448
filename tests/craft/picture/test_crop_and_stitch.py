"""Crop, then scale; paste back; never touch what lies outside the mask."""

import numpy as np
import pytest
import torch
from atelier.craft.picture.crop_and_stitch import CropPlan, plan_crop, resize, stitch
from atelier.craft.picture.mask_edges import feather_mask, grow_mask, hard_mask


def picture(height, width, rows=1, seed=0):
    return torch.rand(rows, height, width, 3, generator=torch.Generator().manual_seed(seed))


def box_mask(height, width, *boxes):
    """One row a box (left, top, right, bottom)."""
    mask = torch.zeros(len(boxes), height, width)
    for row, (left, top, right, bottom) in zip(mask, boxes):
        row[top:bottom, left:right] = 1
    return mask


PLANS = {
    "own pixels": {},
    "published aspect": {"size": (48, 64)},
    "whole picture": {"whole": True},
    "whole picture, scaled": {"whole": True, "size": (96, 64)},
    "wide": {"size": (128, 40), "padding": 0.5},
}
MASKS = {
    "middle": (30, 40, 60, 90),
    "corner": (0, 0, 20, 9),
    "bottom edge": (50, 120, 83, 131),
    "everything": (0, 0, 83, 131),
    "one pixel": (40, 50, 41, 51),
}


@pytest.mark.parametrize("options", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("box", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_outside_the_mask_not_one_bit_changes(options, box, colour):
    before, mask = picture(131, 83), box_mask(131, 83, box)
    plan = plan_crop(mask, **options)
    new = torch.full((1, plan.size[1], plan.size[0], 3), 0.25)
    after = stitch(before, new, plan, feather_mask(hard_mask(mask), 3), seam_colour=colour)
    outside = mask == 0
    assert torch.equal(after[outside], before[outside])
    assert not torch.equal(after[~outside], before[~outside])  # the control: inside it did change


@pytest.mark.parametrize("options", [{}, {"whole": True}])
@pytest.mark.parametrize("box", MASKS.values(), ids=MASKS)
def test_round_trip_without_scaling_is_the_identity(options, box):
    before, mask = picture(131, 83), box_mask(131, 83, box)
    plan = plan_crop(mask, **options)
    assert torch.equal(stitch(before, plan.crop(before), plan, mask), before)


def test_round_trip_with_scaling_is_close_on_a_smooth_picture():
    ramp = torch.linspace(0, 1, 300)
    before = torch.stack(
        [ramp[None, :].expand(200, 300), ramp[:200, None].expand(200, 300), torch.zeros(200, 300)], -1
    )[None]
    mask = box_mask(200, 300, (100, 60, 180, 150))
    plan = plan_crop(mask, (192, 256))
    assert (stitch(before, plan.crop(before), plan, mask) - before).abs().max() < 0.005


@pytest.mark.parametrize("box", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("options", PLANS.values(), ids=PLANS)
def test_the_box_holds_the_mask_and_stays_inside_where_it_fits(box, options):
    plan = plan_crop(box_mask(131, 83, box), **options)
    (area,) = plan.boxes
    assert area.left <= box[0] and area.top <= box[1]
    assert area.left + area.width >= box[2] and area.top + area.height >= box[3]
    for start, length, limit in ((area.left, area.width, 83), (area.top, area.height, 131)):
        assert (start >= 0 and start + length <= limit) if length <= limit else (start <= 0 and start + length >= limit)
    assert plan.size[0] % 8 == 0 and plan.size[1] % 8 == 0
    assert min(area.width, area.height) >= 64  # a network sees more than the marked pixel


def test_border_pixels_are_repeated_not_black():
    plan = plan_crop(box_mask(20, 60, (0, 0, 60, 20)), (64, 64))
    assert plan.crop(torch.ones(1, 20, 60, 3)).min() > 0.999


def test_the_same_place_for_picture_mask_and_points():
    mask = box_mask(100, 150, (40, 20, 90, 80))
    plan = plan_crop(mask, (96, 128))
    spot = torch.zeros(1, 100, 150, 3)
    spot[0, 60:64, 70:74] = 1
    weight = plan.crop(spot)[0, ..., 0]
    x, y = (float((weight.sum(axis) * torch.arange(n)).sum() / weight.sum()) + 0.5 for axis, n in ((0, 96), (1, 128)))
    point = plan.crop_points(np.array([[72.0, 62.0, 1.0]]))[0]
    assert abs(point[0] - x) < 0.1 and abs(point[1] - y) < 0.1 and point[2] == 1
    marked = plan.crop_mask(spot[..., 0])
    assert set(marked.unique().tolist()) == {0.0, 1.0} and marked[0, int(y), int(x)] == 1


def test_a_huge_picture_with_a_small_mask_costs_the_mask(monkeypatch):
    """The largest tensor that scaling sees is the crop, not the scaled whole picture (published: 5046x3332 here)."""
    before, mask = picture(486, 736), box_mask(486, 736, (546, 451, 648, 473))
    seen, stock = [], torch.nn.functional.interpolate
    monkeypatch.setattr(
        torch.nn.functional, "interpolate", lambda x, *a, **k: seen.append(stock(x, *a, **k)) or seen[-1]
    )
    plan = plan_crop(mask, (768, 1024))
    plan.crop(before)
    assert plan.boxes[0].width < 130 and max(max(t.shape) for t in seen) <= 1024


def test_a_batch_is_its_rows():
    before, mask = picture(131, 83, rows=2), box_mask(131, 83, (10, 20, 40, 70), (50, 60, 80, 130))
    plan = plan_crop(mask, (48, 64))
    singles = [plan_crop(row[None], (48, 64)) for row in mask]
    assert [p.boxes[0] for p in singles] == list(plan.boxes)
    new = picture(64, 48, rows=2, seed=1)
    together = stitch(before, new, plan, mask)
    for i, single in enumerate(singles):
        assert torch.equal(together[i : i + 1], stitch(before[i : i + 1], new[i : i + 1], single, mask[i : i + 1]))
    # Twice as many results as pictures: the host repeats a batch as a, b, a, b.
    twice = stitch(before, new.repeat(2, 1, 1, 1), plan, mask)
    assert torch.equal(twice, together.repeat(2, 1, 1, 1))


@pytest.mark.parametrize(("side", "feather"), [(6, 4), (10, 8), (40, 64)])
def test_the_middle_of_a_mask_that_is_narrower_than_its_feather_is_new(side, feather):
    marked = hard_mask(box_mask(96, 200, (20, 20, 20 + side, 20 + side)) + box_mask(96, 200, (90, 10, 180, 80)))
    soft = feather_mask(marked, feather)
    assert soft[0, :, :90].max() > 0.99 and soft[0, :, 90:].max() > 0.99  # each piece for itself
    wide = soft[0, :, 90:]
    assert torch.equal(wide, feather_mask(marked & (torch.arange(200) >= 90), feather)[0, :, 90:])
    assert torch.equal(feather_mask(~marked & marked, feather), torch.zeros(1, 96, 200))


def test_feather_fades_inside_only():
    marked = hard_mask(box_mask(60, 60, (10, 10, 50, 50)))
    soft = feather_mask(marked, 5)
    assert (soft[~marked] == 0).all() and (soft[marked] > 0).all()
    assert (soft[0, 16:44, 16:44] == 1).all() and soft[0, 10, 30] < 0.1
    assert torch.equal(feather_mask(marked, 0), marked.float())
    whole = torch.ones(1, 20, 20, dtype=torch.bool)
    assert (feather_mask(whole, 5) == 1).all()  # the picture's border is not a seam
    nearly = whole.clone()
    nearly[0, 0, 0] = False
    assert feather_mask(nearly, 40)[0, 19, 19] == 1  # no piece is so deep: it fades over its own depth
    touching = hard_mask(box_mask(20, 20, (0, 0, 20, 10)))
    assert feather_mask(touching, 3)[0, 0].min() == 1 and feather_mask(touching, 3)[0, 9].max() < 0.2


def test_growth_is_a_disc():
    marked = torch.zeros(1, 41, 41, dtype=torch.bool)
    marked[0, 20, 20] = True
    grown = grow_mask(marked, 6)[0]
    rows, cols = torch.meshgrid(torch.arange(41), torch.arange(41), indexing="ij")
    assert torch.equal(grown, (rows - 20) ** 2 + (cols - 20) ** 2 <= 36)
    assert torch.equal(grow_mask(grown[None], -6)[0], marked[0])
    assert not grow_mask(torch.zeros(1, 5, 5, dtype=torch.bool), 3).any()


def test_seam_colours_meet_when_asked():
    """A repainted crop with a wrong tint: the seam's colour match takes the tint away, without it the tint stays."""
    before = resize(picture(6, 5)[0], (120, 160))[None].contiguous() * 0.5 + 0.2
    mask = box_mask(160, 120, (30, 40, 90, 120))
    plan = plan_crop(mask, (96, 128), padding=0.2)
    tinted = plan.crop(before) + torch.tensor([0.1, -0.05, 0.0])
    inside = mask > 0
    error = {c: (stitch(before, tinted, plan, mask, seam_colour=c) - before)[inside].abs().mean() for c in (0.0, 1.0)}
    assert error[1.0] < 0.01 < 0.04 < error[0.0]


def test_other_content_at_the_seam_is_no_tint():
    """A dark thing beside the mask that the repainted crop lacks does not smear into it."""
    before, mask = torch.full((1, 160, 120, 3), 0.7), box_mask(160, 120, (30, 40, 90, 120))
    before[:, 70:84, 90:104] = 0.1
    plan = plan_crop(mask, padding=0.2)
    new = plan.crop(torch.full_like(before, 0.7)) + 0.04
    inside = stitch(before, new, plan, mask, seam_colour=1.0)[mask > 0]
    assert (inside - 0.7).abs().max() < 0.02


def test_refusals():
    with pytest.raises(ValueError, match="mask is empty"):
        plan_crop(torch.full((1, 20, 20), 0.01))
    with pytest.raises(ValueError, match="number 2 of 2 is empty"):
        plan_crop(box_mask(20, 20, (0, 0, 5, 5), (0, 0, 0, 0)))
    plan = plan_crop(box_mask(40, 30, (5, 5, 20, 20)))
    assert isinstance(plan, CropPlan)
    with pytest.raises(ValueError, match="40x30 pixels came with a crop planned for 30x40"):
        plan.crop(picture(30, 40))
    with pytest.raises(ValueError, match="do not divide"):
        stitch(picture(40, 30, rows=2), picture(64, 64, rows=3), plan, box_mask(40, 30, (5, 5, 20, 20)))
