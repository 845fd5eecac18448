"""The door of texts: what it refuses, each in one sentence with the input, what was found and the limit."""

import pytest
from atelier.craft import text_door
from atelier.craft.body.part_edits import read_edits
from atelier.craft.body.part_names import parse_parts
from atelier.craft.measure.retrieval_metrics import captions
from atelier.craft.pick_list import parse_picks
from atelier.craft.prompt.phrases import find_pairs, own_pairs
from atelier.craft.prompt.prompt_text import PromptError, parse_attributes, parse_borders
from atelier.craft.prompt.timetable import build
from atelier.craft.wardrobe.wardrobe_search import parse_filter


@pytest.mark.parametrize(
    "text, says",
    [
        ("a " * 10_001, "20,002 characters; at most 20,000"),
        ("x" * 1_001, "a word of 1,001 characters; at most 1,000"),
        ("\u0301" * 8_000, "a word of 8,000 characters"),
        ("(" * 51 + "red" + ")" * 51, "51 brackets inside one another; at most 50"),
        ("red\0cuff", "NUL character at place 4"),
        ("red \ud800 cuff", "half a character .U.D800. at place 5"),
        (["red"], "is a list; a text is expected"),
        (3, "is a int; a text is expected"),
    ],
)
def test_what_is_no_text_is_refused_in_one_sentence(text, says):
    with pytest.raises(ValueError, match=says) as refusal:
        text_door.checked_text(text, "concept")
    assert "The input concept" in str(refusal.value)
    str(refusal.value).encode("utf-8")  # the sentence itself is text that can be shown
    assert len(str(refusal.value)) < 250 and "\n" not in str(refusal.value)


def test_texts_up_to_the_limits_pass():
    for text in ("", "a " * 10_000, "x" * 1_000, "(" * 50 + ")" * 50, r"\(" * 400, "robe d’été 連衣裙 👗", "a\tb\r\nc"):
        assert text_door.checked_text(text, "concept") == text


def test_a_list_may_be_long_but_its_lines_not():
    assert text_door.checked_lines("a red dress\n" * 10_000, "captions")
    for text, says in (
        ("a\n" * 10_001, "10,001 lines; at most 10,000"),
        ("a " * 500_001, "1,000,002 characters; at most 1,000,000"),
        ("a\n" + "b " * 10_001, "line 2, has 20,002 characters"),
        ("a\nb\n" + "c" * 1_001, "line 3, has a word of 1,001"),
    ):
        with pytest.raises(ValueError, match=says):
            text_door.checked_lines(text, "captions")


@pytest.mark.parametrize(
    "parse",
    [
        lambda n: parse_attributes("Long\n" * n),
        lambda n: build("Dress", parse_attributes("Long") * n),
        lambda n: parse_borders(", ".join(f"{999 - i / 10:.1f}" for i in range(n))),
        lambda n: own_pairs("red: hat\n" * n, "red hat"),
        lambda n: parse_parts("hem + " * n),
        lambda n: parse_filter("colour: red, " * n),
    ],
)
def test_most_items(parse):
    parse(text_door.MOST_ITEMS)
    with pytest.raises(ValueError, match=f"{text_door.MOST_ITEMS + 1} .*; at most {text_door.MOST_ITEMS}"):
        parse(text_door.MOST_ITEMS + 1)


def test_long_words_are_quoted_short():
    for parse in (
        lambda word: parse_attributes(f"red @{word}"),
        lambda word: parse_attributes(f"red *{word}"),
        lambda word: parse_borders(word),
        lambda word: parse_parts(word),
        lambda word: parse_filter(word),
        lambda word: parse_picks(word, 4),
        lambda word: own_pairs(word, "red hat"),
        lambda word: read_edits(f'{{"v": 1, "figure": "{word}"}}'),
    ):
        with pytest.raises(ValueError) as refusal:
            parse("x" * 900)
        assert len(str(refusal.value)) < 700


def test_a_mistake_in_a_long_line_shows_its_neighbourhood():
    with pytest.raises(PromptError) as refusal:
        parse_attributes("red " * 200 + "*x" + " " * 500)
    sentence, line, caret = str(refusal.value).split("\n")
    assert "column 802" in sentence and len(line) < 130
    assert line[caret.index("^")] == "x"


@pytest.mark.parametrize("text", ["1" * 5_000, "1-" + "9" * 5_000, "٣", "²", "1-2-3", "1 -", "-"])
def test_picks_that_int_would_choke_on(text):
    with pytest.raises(ValueError, match="Pick "):
        parse_picks(text, 4)


def test_picks_are_bounded():
    assert parse_picks("1-4 " * 1_000, 4) == [0, 1, 2, 3] * 1_000
    with pytest.raises(ValueError, match="more than 4,096 drafts"):
        parse_picks("1-4 " * 1_025, 4)


@pytest.mark.parametrize(
    "value", [f'{{"v": {"1" * 5_000}}}', '{"v": 1, "figure": []}', "[" * 60_000, '{"v": 1, "a": NaN}', 3, "\ud800"]
)
def test_the_editors_value_gives_its_own_sentence(value):
    with pytest.raises(ValueError, match=r"The part editor's value|The part editor's figure") as refusal:
        read_edits(value)
    str(refusal.value).encode("utf-8")


def test_a_caption_too_long_to_score_is_refused():
    with pytest.raises(ValueError, match=r"2,002 characters.*at most 2,000"):
        captions([["a red dress"]], ["a " * 1_001])


def test_a_noun_said_very_often_is_refused():
    with pytest.raises(ValueError, match="'hat' 101 times; at most 100"):
        own_pairs("red: hat", "red hat " * 101)


def test_modifiers_of_a_row_of_parts_are_shared_only_where_somebody_reads_them():
    shared = find_pairs("lace hem and cuffs")
    assert [str(pair) for pair in shared] == ["lace → hem", "lace → cuffs"]
    assert len(find_pairs("odd " * 21 + "hem and cuffs")) == 1
