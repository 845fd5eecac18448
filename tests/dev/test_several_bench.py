"""The bench of several garments tells right from wrong: on pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from atelier.dev.bench import bench_tryon_several as bench
from atelier.dev.bench.bench_tryon_quality import Sample, nearest

WORN = ("upper", "lower", "shoe", "bag")


@pytest.fixture(scope="module")
def sample():
    return Sample(7, (WORN, (0, 1, 2, 3)))


def test_the_truth_is_recognised_and_another_garment_is_not(sample):
    mask, true = sample.batch.mask[0].float(), sample.batch.person[0].float() / 255
    for index in range(len(WORN)):
        candidates = bench.rivals(sample, index)
        assert len(candidates) == 10 and torch.equal(candidates[0], true)
        assert nearest(true, candidates, mask) == 0
        assert nearest(candidates[4], candidates, mask) == 4, "control: what shows another garment counts as that one"


def test_a_leak_is_seen_on_every_pair_that_can_show_one(sample):
    mask, true = sample.batch.mask[0].float(), sample.batch.person[0].float() / 255
    stains = bench.stained(sample)
    assert len(stains) == 12
    for pair, picture in stains.items():
        assert nearest(true, [true, picture], mask) == 0
        assert nearest(picture, [true, picture], mask) == 1, f"{pair}: a stained garment is told from a clean one"


def test_a_bag_that_is_missing_leaks_nothing(sample):
    mask, true = sample.batch.mask[0].float(), sample.batch.person[0].float() / 255
    bare = bench.without(sample, 3)
    assert not torch.equal(bare, true)
    seen, missing = bench.leaks(bare, sample, mask)
    assert missing == {"bag"} and not any(seen.values())
    seen, missing = bench.leaks(bench.stained(sample)["bag", "upper"], sample, mask)
    assert not missing and seen["bag", "upper"], "control: a bag in the top's colours leaks"
    seen, missing = bench.leaks(true, sample, mask)
    assert not missing and not any(seen.values())


def test_an_interval_is_open_at_the_ends():
    low, high = bench.wilson(10, 10)
    assert high == pytest.approx(1.0) and low == pytest.approx(0.7225, abs=1e-3)
    low, high = bench.wilson(50, 100)
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-3)


def test_the_report_keeps_groups_apart():
    table, flat = bench.report({"identity of the bag/try-on": [1.0, 0.0], "results with a leak/try-on": [0.0] * 4})
    assert flat["identity of the bag/try-on"] == 0.5 and flat["results with a leak/try-on"] == 0.0
    assert "| 0.10 | 2 |" in table


def test_the_sheet_of_the_quality_bench_shows_every_figure(sample, tmp_path):
    from atelier.dev.bench.bench_tryon_quality import _sheet
    from PIL import Image

    true = sample.batch.person[0].float() / 255
    widths = []
    for count in (1, 2):
        _sheet(tmp_path / "sheet.png", [(sample, {"try-on": true})] * count)
        widths.append(Image.open(tmp_path / "sheet.png").width)
    assert widths[1] == 2 * widths[0] > 0


def test_the_worst_results_come_first(sample, tmp_path):
    from atelier.dev.bench.bench_tryon_quality import write_worst
    from PIL import Image

    true, mask = sample.batch.person[0].float() / 255, sample.batch.mask[0].float()
    made = [true, true * (1 - mask), true * (1 - 0.3 * mask)]
    write_worst(tmp_path / "worst.png", [(sample, {"try-on": picture}) for picture in made], count=2)
    sheet = np.asarray(Image.open(tmp_path / "worst.png"), np.float32) / 255
    height, width = true.shape[1:]
    shown = [sheet[2 * height : 3 * height, i * width : (i + 1) * width] for i in range(2)]
    for picture, expected in zip(shown, (made[1], made[2]), strict=True):
        assert abs(picture - expected.permute(1, 2, 0).numpy()).max() < 0.01
