"""Stages, orders, joins and the text grammar: what is said at which noise level."""

import pytest
from atelier.craft.prompt import timetable as craft
from atelier.craft.prompt.prompt_text import PromptError, check_text, parse_attribute, parse_attributes, parse_borders
from atelier.craft.prompt.timetable_picture import colour, draw
from atelier.craft.prompt.vocabulary import ATTRIBUTES, CONCEPTS, kind_of, presets

CONCEPT = "Dress, Elegant, Party"
FIVE = "Ruffle Hem\nV-Neck\nPuffed Sleeve\nLong Sleeve\nKnee-length"


def texts(timetable):
    return [(stage.start, stage.stop, stage.text) for stage in timetable.stages]


def test_published_borders_and_order_by_hand():
    timetable = craft.build(CONCEPT, parse_attributes(FIVE))
    assert texts(timetable) == [
        (1000, 900, "Dress, Elegant, Party"),
        (900, 800, "Dress, Elegant, Party, Knee-length"),
        (800, 710, "Dress, Elegant, Party, Knee-length, Long Sleeve"),
        (710, 630, "Dress, Elegant, Party, Knee-length, Long Sleeve, Puffed Sleeve"),
        (630, 560, "Dress, Elegant, Party, Knee-length, Long Sleeve, Puffed Sleeve, V-Neck"),
        (560, 0, "Dress, Elegant, Party, Knee-length, Long Sleeve, Puffed Sleeve, V-Neck, Ruffle Hem"),
    ]
    assert [stage.name for stage in timetable.stages][1] == "+ Knee-length"


@pytest.mark.parametrize("join", craft.JOINS)
@pytest.mark.parametrize("count", [0, 1, 3, 5, 6, 9])
def test_stages_cover_every_level_once_and_end_with_everything(join, count):
    attributes = parse_attributes("\n".join(f"detail {i}" for i in range(count)))
    timetable = craft.build(CONCEPT, attributes, join=join)
    assert timetable.stages[0].start == 1000 and timetable.stages[-1].stop == 0
    for upper, lower in zip(timetable.stages, timetable.stages[1:]):
        assert upper.stop == lower.start and upper.text != lower.text
    assert all(f"detail {i}" in timetable.text_at(0) for i in range(count))
    if join != "published caption":
        assert timetable.text_at(999) == CONCEPT


def test_one_attribute_at_a_time():
    timetable = craft.build(CONCEPT, parse_attributes("a\nb"), join="one at a time")
    assert [text for *_, text in texts(timetable)] == [CONCEPT, f"{CONCEPT}, a", f"{CONCEPT}, b", f"{CONCEPT}, a, b"]
    assert timetable.stages[2].stop == 710


def test_a_comma_inside_an_attribute_shifts_no_stage():
    plain = craft.build(CONCEPT, parse_attributes("V-Neck\nSlit Hem"), order="as given")
    comma = craft.build(CONCEPT, parse_attributes("V-Neck, deep, wide\nSlit Hem"), order="as given")
    assert [(s.start, s.stop) for s in plain.stages] == [(s.start, s.stop) for s in comma.stages]
    # The control: the published splitting does shift; its escape does not.
    caption = "Dress, a, b, c, d, Long, Sleeveless, Regular, V-Neck, deep, Slit Hem"
    assert "Slit Hem" not in craft.from_caption(caption).text_at(520)
    assert "Slit Hem" in craft.from_caption(caption.replace("k, deep", r"k\, deep")).text_at(520)


def test_ranges_and_weights():
    timetable = craft.build(CONCEPT, parse_attributes("Long\nred lace @750-300 *1.3\nV-Neck"))
    assert "red lace" not in timetable.text_at(750) and "(red lace:1.3)" in timetable.text_at(749)
    assert "(red lace:1.3)" in timetable.text_at(300) and "red lace" not in timetable.text_at(299)
    assert "V-Neck" in timetable.text_at(799), "an attribute with its own range takes nobody's stage"
    percent = parse_attribute("x @25%-70%")
    assert (percent.start, percent.stop) == (750, 300)


def test_stress_puts_the_concept_into_the_negative_below_the_first_stage():
    lines = parse_attributes("Long\nV-Neck")
    plain = craft.build("Dress", lines, (900, 800), negative="blurry")
    assert plain.negatives() == [("blurry", 1000.0, 0.0)]
    stressed = craft.build("Dress", lines, (900, 800), negative="blurry", stress=True)
    assert stressed.negatives() == [("blurry", 1000.0, 900.0), ("Dress, blurry", 900.0, 0.0)]
    assert stressed.stages == plain.stages
    assert craft.build("Dress", [], stress=True).negatives() == [("", 1000.0, 0.0)]
    with pytest.raises(ValueError, match="no concept of its own"):
        craft.build("Dress", lines, join="published caption", stress=True)


def test_order_by_mask_area():
    attributes = craft.with_areas(parse_attributes("a\nb\nc"), [0.1, 0.5, 0.3])
    assert [a.text for a in craft.ordered(attributes, "mask area")] == ["b", "c", "a"]
    with pytest.raises(ValueError, match="'b'"):
        craft.ordered([attributes[0], parse_attribute("b")], "mask area")
    with pytest.raises(ValueError, match="2 masks for 3"):
        craft.with_areas(attributes, [0.1, 0.2])


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("lace @800", 7, "no range"),
        ("lace @300-800", 7, "is empty"),
        ("lace @2000-800", 7, "outside"),
        ("lace @800-x", 11, "no noise level"),
        ("lace *much", 7, "no weight"),
        ("lace *11", 7, "above"),
        ("lace *1 *2", 9, "second"),
        ("lace *1.2 red", 11, "behind"),
        ("a (red lace", 3, "never closed"),
        ("a red) lace", 6, "without"),
        ("collar:", 8, "no words"),
        ("@800-300", 1, "no words"),
    ],
)
def test_mistakes_point_at_their_place(line, column, words):
    with pytest.raises(PromptError, match=words) as caught:
        parse_attributes(f"fine\n\n{line}")
    assert (caught.value.line, caught.value.column) == (3, column)
    message = str(caught.value).split("\n")
    assert message[1].strip() == line.strip() and message[2].index("^") == column + 1


def test_free_text_and_borders_are_checked_too():
    with pytest.raises(PromptError, match="line 2, column 6"):
        check_text("red\nlace (", "concept")
    check_text("a (red\nlace:1.2) and \\(this\\)", "concept")
    with pytest.raises(PromptError, match="does not fall"):
        parse_borders("900, 910")
    with pytest.raises(PromptError, match="line 1, column 6"):
        parse_borders("900, x")
    for text in ("", "1000, 5", "0"):
        with pytest.raises(PromptError):
            parse_borders(text)
    assert parse_borders("90%, 95.5%") == pytest.approx((100.0, 45.0))


def test_special_signs_can_be_escaped():
    assert parse_attribute(r"tee with \@home and \*star\*").text == "tee with @home and *star*"
    assert parse_attribute("embedding:lace").text == "embedding:lace"
    assert parse_attribute("Collar: soft").kind == "collar" and parse_attribute("other: V-Neck").text == "V-Neck"


def test_empty_and_unknown_inputs_are_refused():
    for arguments in ({"concept": " "}, {"order": "alphabet"}, {"join": "all"}):
        with pytest.raises(ValueError):
            craft.build(**{"concept": CONCEPT, "attributes": (), **arguments})
    with pytest.raises(ValueError, match="neither ranges nor weights"):
        craft.build("Dress", parse_attributes("lace *1.2"), join="published caption")


def test_vocabulary_kinds():
    for kind, values in ATTRIBUTES.items():
        assert len(set(values)) == len(values) and {kind_of(value) for value in values} == {kind}
    assert [len(v) for v in ATTRIBUTES.values()] == [5, 5, 15, 13, 20]
    assert [len(v) for v in CONCEPTS.values()] == [7, 31, 9, 9, 21]
    assert len(presets()) == 58
    assert kind_of("red three-quarter sleeves") == "sleeve length" and kind_of("red balloon sleeve") == "sleeve type"
    assert kind_of("deep V-neck") == "collar" and kind_of("V-Neck, deep and wide") == "collar"
    assert kind_of("asymmetric hemline") == "hem" and kind_of("red floral print") is None and kind_of("") is None


def timetable_with_windows():
    timetable = craft.build(CONCEPT, parse_attributes("Long\nV-Neck"))
    return craft.replace(timetable, windows=((1e9, 8.5), (8.25, 5.5), (5.25, 0.0)))


def test_steps_name_stages_and_refuse_gaps():
    timetable = timetable_with_windows()
    steps = craft.steps_of(timetable, [14.0, 9.0, 3.0, 1.0, 0.0])
    assert [step.stage for step in steps] == [0, 0, 2, 2]
    assert craft.unreached(timetable, steps) == [1]
    text = craft.table(timetable, steps)
    assert "No step reaches stage 2 (levels 900-800): + Long" in text and "steps 1-2" in text
    with pytest.raises(ValueError, match="0 stages"):
        craft.steps_of(timetable, [8.3, 0.0])
    overlapping = craft.replace(timetable, windows=((1e9, 8.0), (8.0, 5.5), (5.25, 0.0)))
    with pytest.raises(ValueError, match="2 stages"):
        craft.steps_of(overlapping, [8.0, 0.0])


def test_the_picture_shows_each_stage_and_step():
    timetable = timetable_with_windows()
    reached = draw(timetable, craft.steps_of(timetable, [14.0, 7.0, 3.0, 0.0]))
    missed = draw(timetable, craft.steps_of(timetable, [14.0, 9.0, 3.0, 0.0]))
    assert reached.dtype == "uint8" and reached.shape[1:] == (1024, 3)

    def area(picture, stage):
        return int((picture == colour(stage)).all(-1).sum())

    assert area(reached, 0) > 4000 and area(reached, 1) > 4000
    assert area(missed, 1) == 0 and area(missed, 0) > 1.5 * area(reached, 0)
