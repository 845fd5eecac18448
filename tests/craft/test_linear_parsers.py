"""Parsers of texts take steps in proportion to the text: lines of Python run at n, 2n and 4n are counted.

Time inside a regular expression is no line of Python; tests/test_patterns.py looks at the expressions themselves.
"""

import sys

import pytest
from atelier.craft import garments, pick_list, text_door
from atelier.craft.body import part_names
from atelier.craft.prompt import caption_words, phrases, prompt_text
from atelier.craft.prompt.timetable import from_caption
from atelier.craft.prompt.vocabulary import kind_of
from atelier.craft.wardrobe.wardrobe_search import parse_filter
from atelier.models.studio.wardrobe import wardrobe_words
from atelier.models.unifashion.preparation import clean_text

N = 400


def lines_run(work) -> int:
    count = 0

    def local(frame, event, argument):
        nonlocal count
        count += event == "line"
        return local

    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: local)
    try:
        work()
    except ValueError:
        pass
    finally:
        sys.settrace(before)
    return count


def spans(n):
    """A prompt whose words and tokens differ all along: tags that the tokenizer reads and the parser does not."""
    prompt = "red cuff <lora:some_name:0.8> " * n
    pieces = [piece for _ in range(n) for piece in ("red", "cuff", "<", "lora", "some", "name", "0.8", ">")]
    words = [word for pair in phrases.find_pairs(prompt) for word in (*pair.modifiers, *pair.noun)]
    return lambda: phrases.token_spans(words, prompt, pieces)


WORK = {
    "attribute: spaces and a range": lambda n: lambda: prompt_text.parse_attributes("Long" + " " * n + "@800-300"),
    "attribute: words and a colon": lambda n: lambda: prompt_text.parse_attributes("sleeve " * n + ": long"),
    "attribute: marks": lambda n: lambda: prompt_text.parse_attributes("a" + " @" * n),
    "attributes: empty lines": lambda n: lambda: prompt_text.parse_attributes("\n" * n),
    "borders: one a line": lambda n: lambda: prompt_text.parse_borders("".join(f"{900 - i / n}\n" for i in range(n))),
    "brackets": lambda n: lambda: prompt_text.check_text("\n(a)" * n + "(", "concept"),
    "commas": lambda n: lambda: from_caption("a," * n),
    "kind": lambda n: lambda: kind_of("long " * n + "sleeve"),
    "door": lambda n: lambda: text_door.checked_text("(a) " * n, "concept"),
    "door: lines": lambda n: lambda: text_door.checked_lines("(a)\n" * n, "captions"),
    "pairs: and": lambda n: lambda: phrases.find_pairs("odd and " * n + "cuff"),
    "pairs: parts in a row": lambda n: lambda: phrases.find_pairs("red " * n + "hem" + " and cuff" * n),
    "pairs: items": lambda n: lambda: phrases.find_pairs("red cuff, " * n),
    "pairs: weights": lambda n: lambda: phrases.find_pairs("(red:1.2) cuff " * n),
    "own pairs: a noun all over": lambda n: lambda: phrases.own_pairs("red: cuff", "red cuff " * n),
    "own pairs: a modifier all over": lambda n: lambda: phrases.own_pairs("red: cuff", "red " * n + "cuff"),
    "token spans": spans,
    "token spans: nothing agrees": lambda n: lambda: phrases.token_spans([], "ab " * n, ["cd"] * n),
    "picks: spaces": lambda n: lambda: pick_list.parse_picks("1" + " " * n + "x", 4),
    "picks: dashes": lambda n: lambda: pick_list.parse_picks("1 - " * n, 4),
    "parts": lambda n: lambda: part_names.parse_parts("- " * n + "hem"),
    "filter": lambda n: lambda: parse_filter(";" * n + "colour: red"),
    "caption: clauses": lambda n: lambda: caption_words.concept_and_attributes("red short sleeve, " * n),
    "caption: one clause": lambda n: lambda: caption_words.concept_and_attributes("red short sleeve " * n),
    "caption: garments": lambda n: lambda: caption_words.concept_and_attributes("long dress " * n),
    "category": lambda n: lambda: garments.category_of("shirt dress " * n),
    "studio words": lambda n: lambda: wardrobe_words.token_ids("long puffed sleeve " * n),
    "studio words: unknown": lambda n: lambda: wardrobe_words.token_ids("zzz " * n),
    "q-former words": lambda n: lambda: clean_text("a. " * n),
}


@pytest.mark.parametrize("name", WORK)
def test_steps_grow_with_the_text(name):
    steps = [lines_run(WORK[name](times * N)) for times in (1, 2, 4)]
    # Twice the text takes at most twice the steps; what is done once for any text is on the safe side of that.
    assert steps[1] <= 2.2 * steps[0] and steps[2] <= 2.2 * steps[1], steps


def test_the_count_sees_a_square():
    def square(n):
        return lambda: [None for i in range(n) for j in range(n) if _step()]

    def _step():
        return True

    steps = [lines_run(square(n)) for n in (20, 40, 80)]
    assert steps[2] > 3.5 * steps[1] > 3.5 * 3.5 * steps[0]
