"""Captions: the published order of levels and their words."""

from dataclasses import replace

import pytest
from atelier.croquis import captions, random_figure
from atelier.croquis.captions import figure_caption, garment_caption
from atelier.croquis.choice import ANY, Wishes, figure_of

LEVELS = (
    captions.LENGTH_WORDS, captions.SLEEVE_LENGTH_WORDS, captions.SLEEVE_TYPE_WORDS, captions.COLLAR_WORDS,
    captions.HEM_WORDS,
)  # fmt: skip
SLEEVES = (
    "Dolman", "Puffed", "Lantern", "Flare", "Raglan", "Ruffle", "Wrapped", "Flutter", "Princess", "Layered", "Shirt",
    "Petal", "Kimono", "Regular", "Drop-shoulder",
)  # fmt: skip
HEMS = (
    "Flat", "Curved", "Ruffle", "Layered", "Striped", "Wavy", "Slit", "Draped", "Irregular", "Curled", "Raw",
    "Ankle-tied", "Flared", "Flanging", "Loose", "Lace", "Tight-strap", "Drawstring", "Pleated",
)  # fmt: skip
PUBLISHED = (
    {"Ultra-short", "Short", "Knee-length", "Mid-length", "Long"},
    {"Sleeveless", "Short Sleeve", "Elbow-length Sleeve", "Mid-length Sleeve", "Long Sleeve"},
    {f"{name} Sleeve" for name in SLEEVES},
    {
        "Round Collar", "V-Neck", "Square Collar", "Tailor Collar", "Lapel Collar", "Stand Collar", "T-neck",
        "Boat Neck", "U-Neck", "A-Line Collar", "Swinging Collar", "Irregular Collar", "Closed Collar",
    },
    {f"{name} Hem" for name in HEMS},
)  # fmt: skip


def test_words_are_the_published_ones():
    for words, published in zip(LEVELS, PUBLISHED):
        assert set(words.values()) <= published


@pytest.mark.parametrize(
    "outfit", [("upper", "lower"), ("overall",), ("upper", "lower", "upper"), ("overall", "shoe", "bag"), ("upper",)]
)
def test_five_items_of_concept_then_five_levels_in_order(outfit):
    for seed in range(500, 540):
        caption = figure_caption(random_figure(seed, outfit))
        items = caption["text"].split(", ")
        assert len(items) == 10 and items[5:] == caption["attributes"] and ", ".join(items[:5]) == caption["concept"]
        for item, words in zip(items[5:], LEVELS):
            assert item in words.values()


def test_a_caption_says_what_is_worn():
    spec = random_figure(501, ("upper", "lower"))
    spec = replace(
        spec,
        garments=(
            replace(spec.garments[0], pattern="stripes", collar="boat"),
            replace(spec.garments[1], pattern="plain", hem="slit"),
        ),
    )
    top, bottom = (captions.kind_word(g) for g in spec.garments)
    caption = figure_caption(spec)
    assert f"striped {top} and plain {bottom}" in caption["concept"]
    assert caption["attributes"][3:] == ["Boat Neck", "Slit Hem"]
    other = replace(spec, garments=(replace(spec.garments[0], collar="v"), spec.garments[1]))
    assert figure_caption(other)["attributes"][3] == "V-Neck"


def test_one_garment_has_only_its_own_levels():
    spec = random_figure(502, ("lower", "shoe"))
    assert len(garment_caption(spec.garments[0])["attributes"]) == 2
    assert garment_caption(spec.garments[1])["attributes"] == []
    dress = replace(random_figure(503, ("overall",)).garments[0], sleeve_length="sleeveless")
    assert len(garment_caption(dress)["attributes"]) == 4


def test_wishes_are_granted():
    wishes = Wishes(
        "top and bottom",
        top="blouse",
        bottom="skirt",
        top_pattern="dots",
        top_colour="teal",
        shoes="boots",
        bag=ANY,
        stance="walk",
        arms="cross",
    )
    for seed in range(12):
        spec = figure_of(seed, seed + 100, wishes)
        top, bottom, shoes, bag = spec.garments
        assert (top.kind, bottom.kind, shoes.kind, bag.category) == ("blouse", "skirt", "boots", "bag")
        assert top.pattern == "dots" and captions.colour_words(top).startswith("teal")
        assert spec.pose.stance == "walk" and "cross" in spec.pose.arm_names
    assert figure_of(5, 5, Wishes("top and bottom")) == random_figure(5, ("upper", "lower"))
    assert figure_of(6, 5, Wishes()).garments == figure_of(5, 5, Wishes()).garments
    with pytest.raises(ValueError, match="must be one of"):
        figure_of(0, 0, Wishes(top="toga"))
