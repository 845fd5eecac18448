"""The design bench: its figures against closed forms and hand-made cases, its forms on a tiny designer in the host."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from atelier.croquis import random_figure, render
from atelier.croquis.captions import figure_caption
from atelier.dev.bench import design_forms, design_measures, design_sheet, design_visibility
from atelier.dev.train.attribute_classifier import attributes_of

TWO = {
    "outfit": "two pieces", "length": "long", "sleeve length": "short", "sleeve type": "puffed", "collar": "v",
    "hem": "flat",
    "top colour": "red", "top second colour": "white", "top pattern": "dots", "bottom colour": "navy",
    "bottom pattern": "plain",
}  # fmt: skip
ONE = {**TWO, "outfit": "one piece", "bottom colour": "red"}
BARE = {key: value for key, value in TWO.items() if key != "sleeve type"}


def means(shown, asked):
    return {
        k: float(np.nanmean(v))
        for k, v in design_measures.accuracies([shown], [asked]).items()
        if not np.isnan(v).all()
    }


def test_accuracy_counts_what_was_asked_and_nothing_else():
    assert means(TWO, TWO) == dict.fromkeys(design_measures.COLUMNS, 1.0)
    assert means({**TWO, "collar": "u"}, TWO)["collar"] == 0
    assert means({**TWO, "bottom colour": "black"}, TWO)["colour"] == 0.5, "each of two garments counts half"
    assert means({**TWO, "bottom colour": "black"}, ONE)["colour"] == 1, "an overall has one colour"
    assert "sleeve type" not in means(TWO, BARE)
    table = design_measures.accuracies([TWO, {**TWO, "hem": "slit"}], [TWO, BARE])
    assert design_measures.mean_accuracy(table) == pytest.approx((6 + 0.5) / 7)


def test_of_stripes_either_colour_may_be_the_main_one():
    asked, shown = {**TWO, "top pattern": "stripes"}, {**TWO, "top colour": "white"}
    assert means(shown, asked)["colour"] == 1
    assert means(shown, TWO)["colour"] == 0.5, "of dots the ground is the main colour"
    assert means({**TWO, "top colour": "green"}, asked)["colour"] == 0.5


def test_a_leak_is_the_other_garments_colour():
    assert design_measures.leaks([TWO], [TWO]).tolist() == [0, 0]
    assert design_measures.leaks([{**TWO, "top colour": "navy"}], [TWO]).tolist() == [1, 0]
    assert design_measures.leaks([{**TWO, "bottom colour": "white"}], [TWO]).tolist() == [0, 1]
    assert design_measures.leaks([{**TWO, "top colour": "green"}], [TWO]).tolist() == [0, 0], (
        "wrong, but not the other's"
    )
    assert design_measures.leaks([TWO], [ONE]).tolist() == []
    hidden = {key: value for key, value in TWO.items() if key != "bottom colour"}
    assert design_measures.leaks([TWO], [hidden]).tolist() == [], "what is under a coat cannot leak"
    same = {**TWO, "bottom colour": "red"}
    assert design_measures.leaks([same], [same]).tolist() == [0], "the bottom has no colour that the top has not"


def outfit(seed, top, bottom):
    spec = random_figure(seed, ("upper", "lower"))
    worn = zip(spec.garments, (top, bottom), strict=True)
    return replace(spec, garments=tuple(replace(garment, **changes) for garment, changes in worn))


def test_what_cannot_be_seen_is_not_asked():
    coat = {
        "kind": "coat",
        "length": "knee",
        "sleeve_length": "long",
        "sleeve_type": "regular",
        "collar": "lapel",
        "fit": "loose",
    }
    tank = {"kind": "tank", "length": "short", "sleeve_length": "sleeveless", "sleeve_type": "regular", "collar": "v"}
    shorts, skirt = (
        {"kind": "shorts", "length": "ultra-short", "hem": "flat", "fit": "slim"},
        {"kind": "skirt", "length": "mid", "hem": "ruffle"},
    )
    for seed in (11, 12):
        under = outfit(seed, coat, shorts)
        asked = design_visibility.seen(under, attributes_of(under), render(under, want=("person",)).person)
        assert not asked.keys() & {"hem", "bottom colour", "bottom pattern", "bottom second colour"}
        assert asked.keys() >= {"sleeve length", "collar", "top colour", "top pattern", "outfit"}
        bare = outfit(seed, tank, skirt)
        said = attributes_of(bare)
        assert design_visibility.seen(bare, said, render(bare, want=("person",)).person) == said
    assert design_visibility.values_of("skirt", "hem") == ("flared", "flat", "pleated", "ruffle", "slit", "wavy")


def test_the_sheet_says_beside_each_picture_what_was_read(tmp_path):
    from PIL import Image

    wrong = {**TWO, "collar": "u"}
    assert ("collar: v", True) in design_sheet.answers(TWO, TWO)
    assert [line for line in design_sheet.answers(wrong, TWO) if not line[1]] == [("collar: u (v)", False)]
    pictures = {"a": torch.zeros(2, 3, 256, 192), "b": torch.ones(2, 3, 256, 192)}
    for shown, red in ((TWO, False), (wrong, True)):
        design_sheet.sheet(tmp_path / "sheet.png", pictures, {"a": [shown] * 2, "b": [TWO] * 2}, [TWO] * 2)
        board = np.asarray(Image.open(tmp_path / "sheet.png"))
        assert bool((board == design_sheet.WRONG).all(2).any()) == red
        assert (board[20:200, 10:180] == 0).all() and (board == design_sheet.RIGHT).all(2).any()
    first = design_sheet.first_of_each(
        torch.stack([torch.full((3, 4, 4), v) for v in (0.1, 0.2, 0.3)]), np.array([0, 0, 2]), (2, 0, 1)
    )
    assert [round(float(one.mean()), 1) for one in first] == [0.3, 0.1, 1.0]


def test_the_worst_are_those_with_the_most_mistakes():
    table = {"hem": np.array([1.0, 0.0, np.nan, 0.0]), "colour": np.array([0.5, 1.0, 0.0, 0.5])}
    assert design_measures.least_right(table, 3) == [2, 3, 1]


def test_frechet_distance_of_normal_features():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(400, 6, generator=generator)
    assert design_measures.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert design_measures.frechet(a, a + 2) == pytest.approx(6 * 4, rel=1e-6)
    spread = float(((3 - 1) ** 2 * torch.cov(a.double().T)).trace())
    centred = a - a.mean(0)
    assert design_measures.frechet(centred, 3 * centred) == pytest.approx(spread, rel=1e-5)


def test_coverage_and_diversity():
    generator = torch.Generator().manual_seed(1)
    true = torch.randn(60, 3, generator=generator)
    assert design_measures.coverage(true, true) == 1
    assert design_measures.coverage(true + 50, true) == 0
    assert 0.05 < design_measures.coverage(true[:1].expand(60, 3), true) < 0.3, "one point alone covers its neighbours"
    drafts = torch.zeros(2, 4, 2, 2)
    assert design_measures.diversity([drafts]) == 0
    drafts[1] = 3
    assert design_measures.diversity([drafts]) == pytest.approx(3)


def test_intervals_hold_the_mean_and_pairs_are_resampled_together():
    rng = np.random.default_rng(2)
    table = {"a": rng.integers(0, 2, 200).astype(float), "b": rng.integers(0, 2, 200).astype(float)}
    low, high = design_measures.interval(table)
    assert low < design_measures.mean_accuracy(table) < high and high - low < 0.2
    better = {"a": np.minimum(table["a"] + 0.1, 1.1), "b": table["b"]}
    change, low, high = design_measures.difference(better, table)
    assert change == pytest.approx(0.05) and low == pytest.approx(0.05) and high == pytest.approx(0.05)


def test_several_pictures_of_a_figure_are_one_case():
    table = {"a": np.array([1, 0, 1, 1, np.nan]), "b": np.array([1, 1, 1, 1, np.nan])}
    found = design_measures.by_figure(table, np.array([0, 0, 3, 3, 5]))
    assert found["a"].tolist()[:2] == [0.5, 1] and np.isnan(found["a"][2]) and len(found["b"]) == 3


@pytest.fixture(scope="module")
def studio(host, tmp_path_factory):
    """A designer of width 32 with random weights, as the recipe writes it."""
    from atelier.dev.setup.torchvision_ops import make_importable

    make_importable()
    from atelier.dev.train.designer.design_prompts import Words
    from atelier.dev.train.designer.designer import Config, Designer, TextConfig
    from atelier.dev.train.designer.designer_files import export
    from atelier.dev.train.designer.designer_run import host_tokenizer

    torch.manual_seed(3)
    numbers = Words(host_tokenizer()).numbers
    network = Designer(Config(width=32), words=1 + len(numbers))
    with torch.no_grad():
        for zero in (
            network.unet.out[-1],
            *(m for m in network.control.zero_convs.modules() if isinstance(m, torch.nn.Conv2d)),
        ):
            zero.weight.normal_(0, 0.05)
    files = export(
        network.state_dict(), numbers, Config(width=32), TextConfig(), tmp_path_factory.mktemp("designer"), ""
    )
    return design_forms.Studio(files).decoding_thin()


@pytest.fixture(scope="module")
def asks():
    out = []
    for seed in (5, 6, 7):
        spec = random_figure(seed)
        said = figure_caption(spec)
        out.append(
            design_forms.Ask(said["concept"], tuple(said["attributes"]), render(spec, want=("pose",)).pose, seed)
        )
    return out


QUICK = design_forms.Settings(steps=2, batch=3, size=(96, 128))


def pictures(made, count):
    found = torch.zeros(count, 3, 128, 96)
    for rows, drawn in made:
        found[rows] = drawn
    return found


@pytest.mark.parametrize("say", [design_forms.flat, design_forms.hierarchical])
def test_pictures_drawn_together_are_those_drawn_alone(studio, asks, say):
    """Every row has its own caption, pose and noise, whatever it is sampled with."""
    together = pictures(design_forms.drawn(studio, asks, QUICK, say), 3)
    alone = pictures(design_forms.drawn(studio, asks[1:2], QUICK, say), 1)[0]
    torch.testing.assert_close(together[1], alone, rtol=0, atol=2e-3)
    assert (together[0] - alone).abs().mean() > 0.01
    for change in (dict(concept=asks[0].concept), dict(pose=asks[0].pose), dict(seed=99)):
        other = pictures(design_forms.drawn(studio, [replace(asks[1], **change)], QUICK, say), 1)[0]
        assert (other - alone).abs().max() > 1e-4, f"{next(iter(change))} does not reach the picture"


def test_the_quick_decoder_is_the_vae(studio, asks):
    """At a fraction of the time, the same picture as the host's VAE makes."""
    latent = design_forms.noise_of(studio, asks[0], QUICK)
    with torch.no_grad():
        host = studio.vae.decode(latent).movedim(-1, 1)
    torch.testing.assert_close(studio.decode(latent), host.float().cpu(), rtol=0, atol=2e-3)


def test_the_hierarchy_says_less_first_and_everything_last(studio, asks):
    positive, timetable = design_forms.hierarchical(studio, asks[0])
    assert len(positive) == len(timetable.stages) > 3
    assert timetable.stages[0].text == asks[0].concept and timetable.stages[-1].text == asks[0].text
    torch.testing.assert_close(positive[-1][0], studio.encode(asks[0].text)[0][0])
    starts = [values["timestep_start"] for _, values in positive]
    assert starts == sorted(starts, reverse=True)


def test_rescaled_guidance_ends_nearer_to_no_guidance(studio, asks, monkeypatch):
    monkeypatch.setattr(studio, "model", studio.model)

    def colour(settings):
        return pictures(design_forms.drawn(studio, asks[:1], settings), 1).std()

    unguided, guided = (colour(replace(QUICK, cfg=cfg)) for cfg in (1.0, 12.0))
    studio.rescaled(1.0)
    rescaled = colour(replace(QUICK, cfg=12.0))
    assert abs(rescaled - unguided) < 0.5 * abs(guided - unguided)


def test_stages_that_differ_are_not_stacked(studio, asks):
    whole, staged = design_forms.flat(studio, asks[0])[0], design_forms.hierarchical(studio, asks[0])[0]
    with pytest.raises(ValueError, match="cannot be sampled together"):
        design_forms.stacked([whole, staged])


def test_drafts_are_refined_from_where_they_stopped(studio, asks):
    ((number, drafts),) = design_forms.ideas(studio, asks[:1], replace(QUICK, steps=4), drafts=2)
    assert number == 0 and drafts.shape == (2, 3, 128, 96)
    assert (drafts[0] - drafts[1]).abs().mean() > 0.01
    ((_, together),) = design_forms.ideas(studio, asks[:1], replace(QUICK, steps=4), drafts=2, repulsion=0.0)
    assert (drafts - together).abs().max() > 1e-3, "repulsion does nothing"


def test_held_out_seeds_are_kept(capsys):
    from atelier.dev.bench import bench_design_quality

    for seeds in ("0:400001", "5:5", "7:3"):
        with pytest.raises(SystemExit):
            bench_design_quality.run(["--seeds", seeds])
    with pytest.raises(SystemExit):
        bench_design_quality.run(["--forms", "flat,curly"])
    assert "unknown forms curly" in capsys.readouterr().err


def test_a_swatch_is_given_to_dresses_that_are_asked_for_without_fabric(studio):
    from atelier.croquis.colours import COLOURS, PATTERNS
    from atelier.dev.bench import bench_reference_level as bench

    (case,) = bench.cases(20, 1, 2)
    assert case.swatch.shape[0] == 1 and case.pattern in PATTERNS and all(name in COLOURS for name in case.colours)
    words = " ".join(ask.text for ask in case.asks).lower()
    assert not any(f"{pattern} " in words for pattern in ("striped", "checked", "dotted", "floral", "print"))
    plain = bench.drawn(studio, case, QUICK, 0.0, 0.0, 64)
    torch.testing.assert_close(plain, pictures(design_forms.drawn(studio, case.asks, QUICK), 2), rtol=0, atol=2e-3)
    assert (bench.drawn(studio, case, QUICK, 50.0, 1.0, 64) - plain).abs().max() > 1e-3, (
        "the swatch does not reach the picture"
    )


def test_what_arrives_of_a_swatch_is_counted(monkeypatch):
    from atelier.dev.bench import bench_reference_level as bench

    shown = [{**ONE, "top colour": "teal", "top pattern": "checks"}, {**ONE, "collar": "u"}]
    case = bench.Case(None, ("teal", "white"), "checks", [], [ONE, ONE], None)
    monkeypatch.setattr(design_measures, "read", lambda *_: (shown, None))
    found = bench.measured(None, [case], [None])
    assert found["colour"].tolist() == [1, 0] and found["pattern"].tolist() == [1, 0]
    assert found["attributes"].tolist() == pytest.approx([1, 0.8])
