"""Croquis: the same figure everywhere, at every size; what changes and what must not."""

import hashlib
import inspect
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from atelier.croquis import GarmentSpec, random_figure, render
from atelier.croquis.colours import MOTIFS, PATTERNS
from atelier.croquis.garment import (
    ALLOWED_LENGTHS,
    COLLARS,
    FITS,
    HEMS,
    KINDS,
    LENGTHS,
    SLEEVE_LENGTHS,
    SLEEVE_TYPES,
    random_garment,
)  # fmt: skip
from atelier.croquis.garment import (
    KINDS as CATEGORIES,
)

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = ("person", "mask", "pose", "flat", "flat_mask", "coords", "parts", "sketch", "swatch")
OUTFITS = [("upper", "lower"), ("overall",), ("upper",), ("lower",), ("upper", "lower", "shoe", "bag"),
           ("upper", "lower", "upper"), ("overall", "upper", "bag")]  # fmt: skip


def digest(figure) -> str:
    found = hashlib.sha256()
    for name, value in vars(figure).items():
        for picture in value if isinstance(value, list) else [value]:
            if name != "spec":
                found.update(np.ascontiguousarray(picture).tobytes())
    return found.hexdigest()


def test_another_process_draws_the_same():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'dev')!r}); import pack; pack.register()\n"
        "import hashlib, numpy as np\n"
        "from atelier.croquis import random_figure, render\n"
        f"{inspect.getsource(digest)}\n"
        f"print(digest(render(random_figure(41, ('upper', 'lower', 'shoe', 'bag')), want={EVERYTHING!r})))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    render(random_figure(3))  # what was drawn before must not matter
    assert digest(render(random_figure(41, ("upper", "lower", "shoe", "bag")), want=EVERYTHING)) == there


def test_another_seed_is_another_figure():
    digests = {digest(render(random_figure(seed), want=EVERYTHING)) for seed in range(8)}
    assert len(digests) == 8


def test_adding_shoes_and_bag_changes_no_other_garment():
    two, four = random_figure(9, ("upper", "lower")), random_figure(9, ("upper", "lower", "shoe", "bag"))
    assert four.garments[:2] == two.garments and four.body == two.body and four.pose == two.pose
    for a, b in zip(render(two, want=("flat",)).flats, render(four, want=("flat",)).flats):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("outfit", OUTFITS, ids="+".join)
def test_larger_sizes_are_the_same_figure(outfit):
    spec = random_figure(50 + len(outfit), outfit)
    small, large = render(spec, 192, 256, EVERYTHING), render(spec, 768, 1024, EVERYTHING)
    reduced = large.person.reshape(256, 4, 192, 4, 3).mean((1, 3))
    assert np.abs(reduced - small.person).mean() < 3.0
    other = render(random_figure(1, outfit), 192, 256).person
    assert np.abs(reduced - other).mean() > 8.0
    assert np.allclose(large.keypoints[:, :2], small.keypoints[:, :2] * 4, atol=1e-3)
    assert (large.mask[2::4, 2::4] == small.mask).mean() > 0.99
    assert (large.parts[2::4, 2::4] == small.parts).mean() > 0.97


def test_odd_sizes_are_centred_and_whole():
    figure = render(random_figure(4), 301, 209, EVERYTHING)
    assert (
        figure.person.shape == (209, 301, 3) and figure.coords.shape == (26, 37, 2) and figure.owner.shape == (26, 37)
    )
    assert abs(figure.keypoints[1, 0] - 150.5) < 12
    assert figure.parts[:, :20].max() == 0, "the figure belongs in the middle"


def test_bad_wishes_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="at least 48"):
        render(random_figure(0), 20, 256)
    with pytest.raises(ValueError, match="cannot draw shoes"):
        render(random_figure(0), want=("shoes",))
    with pytest.raises(ValueError, match="must be one of"):
        random_figure(0, ("hat",))
    with pytest.raises(ValueError, match="not of category"):
        GarmentSpec("skirt", "upper")
    with pytest.raises(ValueError, match="too long"):
        GarmentSpec("coat", "upper", length="long")
    with pytest.raises(ValueError, match="worn open"):
        GarmentSpec("tee", "upper", open=True)


CHOICES = {"sleeve_length": SLEEVE_LENGTHS, "sleeve_type": SLEEVE_TYPES, "collar": COLLARS, "hem": HEMS, "fit": FITS,
           "pattern": PATTERNS, "motif": MOTIFS, "length": LENGTHS}  # fmt: skip


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_choice_of_every_kind_can_be_drawn(category):
    base = random_figure(6, (category,))
    for kind in KINDS[category]:
        start = random_garment(np.random.Generator(np.random.PCG64(1)), category, kind)
        if category in ("shoe", "bag"):
            figure = render(replace(base, garments=(start,)), 96, 128, ("person", "flat"))
            assert (figure.flats[0] != 255).any()
            continue
        for name, values in CHOICES.items():
            seen = set()
            for value in values:
                if name == "length" and category == "upper" and value in ("mid", "long"):
                    continue
                spec = replace(start, **{name: value})
                figure = render(
                    replace(base, garments=(spec,)), 72, 96, ("person", "flat") if value == values[-1] else ("flat",)
                )
                assert (figure.flats[0] != 255).any(), f"{kind} with {name} {value} is an empty flat-lay"
                seen.add(figure.flats[0].tobytes())
            visible = category in ("upper", "overall") and name in ("collar", "hem", "fit", "length")
            if visible:
                assert len(seen) > 1, f"{name} makes no difference on {kind}"


def test_random_garments_use_their_whole_vocabulary():
    for category in CATEGORIES:
        made = [random_garment(np.random.Generator(np.random.PCG64(n)), category) for n in range(60)]
        assert {g.kind for g in made} == set(KINDS[category])
        for garment in made:
            assert garment.length in ALLOWED_LENGTHS.get(garment.kind, ("short",))
    made = [random_garment(np.random.Generator(np.random.PCG64(n)), "upper") for n in range(400)]
    assert {g.pattern for g in made} == set(PATTERNS) and {g.collar for g in made} == set(COLLARS)


def garment_pixels(spec):
    """Pixels that show a garment, by the owners of a picture drawn without anti-aliasing."""
    from atelier.craft.body.labels import ATR

    figure = render(spec, want=("parts",))
    clothes = [ATR.index(n) for n in ("upper-clothes", "skirt", "pants", "dress", "left-shoe", "right-shoe", "bag")]
    return np.isin(figure.atr, clothes)


@pytest.mark.parametrize(
    "change", [{"pattern": "dots"}, {"pattern": "floral"}, {"colours": ((20, 90, 60), (240, 220, 200), (200, 60, 60))}]
)
def test_pattern_and_colour_change_only_the_garment(change):
    for seed in range(70, 76):
        spec = random_figure(seed, ("upper", "lower"))
        other = replace(spec, garments=(replace(spec.garments[0], **change), spec.garments[1]))
        if other == spec:
            continue
        a, b = render(spec, want=("person", "mask")), render(other, want=("person", "mask"))
        differs = (np.abs(a.person.astype(int) - b.person) > 4).any(-1)  # less is a trace of anti-aliasing
        assert differs.sum() > 100
        near = garment_pixels(spec)
        ink = 2  # lines stand this far out
        padded = np.pad(near, ink)
        grown = np.any(
            [padded[dy : dy + 256, dx : dx + 192] for dy in range(2 * ink + 1) for dx in range(2 * ink + 1)], axis=0
        )
        assert not (differs & ~grown).any()
        assert np.array_equal(a.mask, b.mask)


def test_specs_are_plain_hashable_data():
    spec = random_figure(2, ("upper", "lower", "shoe", "bag"))
    assert (
        hash(spec) == hash(random_figure(2, ("upper", "lower", "shoe", "bag")))
        and len({spec, random_figure(2, spec_categories(spec))}) == 1
    )
    for garment in spec.garments:
        for field in fields(garment):
            assert isinstance(getattr(garment, field.name), (str, float, int, bool, tuple))


def spec_categories(spec):
    return tuple(g.category for g in spec.garments)
