"""Fashion noun phrases: which words describe which noun ("red lace cuff" -> red, lace -> cuff).

`find_pairs` reads a prompt by rules and the lists of `fashion_words`; `own_pairs` reads pairs that a person wrote;
`token_spans` finds the words of a pair among the tokens that a text encoder made of the prompt.

The rule of the published notes (noun = a known part, modifiers = the words before it inside the comma item;
reconstructed) is the core; "in navy wool", "is white", "made of leather", "lace hem and cuffs" and negations are read
as well.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from ..text_door import MOST_ITEMS, checked_items, quoted
from . import fashion_words as lists

_WORD = re.compile(r"[^\W_]+(?:['’\-&/][^\W_]+)*")
_WEIGHT = re.compile(r":\s*-?(?:\d+(?:\.\d+)?|\.\d+)\s*(?=[)\]])")
# What prompt tools read and no word of the garment is: <lora:name:0.8>, embedding:name.
_TAG = re.compile(r"<[^<>\n]*>|embedding:[^\s,()\[\]]*", re.I)
_ESCAPED = re.compile(r"\\([()\[\],])")
# Every mark separates but those inside a word and a number, and brackets; so does the word of prompt tools.
_ITEM_END = re.compile(r"[^\w\s'’\-&/.]|\n|\.(?!\d)|/(?!\w)|(?<!\w)/|\bBREAK\b")
_BRACKETS = str.maketrans('()[]{}"', " " * 7)
_NO_SHAPE = lists.COLOURS | lists.MATERIALS | lists.PATTERNS
MOST_SHARED = 20  # words of a noun, and modifiers that the parts of an enumeration share
AGREEMENT, LOOKAHEAD = 6, 256  # letters: equal ones that end a difference, and how long one may be


@dataclass(frozen=True)
class Word:
    """A word of the prompt: lower case, with its place (`start` inclusive, `end` exclusive) in the original text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Pair:
    """Modifiers and the noun that they describe. The noun may have several words ("trench coat")."""

    modifiers: tuple[Word, ...]
    noun: tuple[Word, ...]

    def __str__(self) -> str:
        return f"{' '.join(w.text for w in self.modifiers)} → {self.noun_text}"

    @property
    def noun_text(self) -> str:
        return " ".join(word.text for word in self.noun)


def plain_text(prompt: str) -> str:
    """The prompt with weight syntax turned into spaces, so that every other character keeps its place."""
    text = _TAG.sub(_blank, prompt)
    text = _WEIGHT.sub(_blank, text)
    text = _ESCAPED.sub("  ", text)
    return text.translate(_BRACKETS)


def _blank(match: re.Match) -> str:
    return " " * len(match.group())


def find_pairs(prompt: str) -> list[Pair]:
    """All (modifiers, noun) pairs of a prompt, in the order of their nouns. Nouns without a modifier give no pair."""
    text = plain_text(prompt)
    pairs: list[Pair] = []
    start = 0
    for end, following in [match.span() for match in _ITEM_END.finditer(text)] + [(len(text), len(text))]:
        words = [Word(m.group().lower(), start + m.start(), start + m.end()) for m in _WORD.finditer(text[start:end])]
        pairs += _Item().read(words)
        start = following
    return sorted(pairs, key=lambda pair: pair.noun[0].start)


def own_pairs(lines: str, prompt: str) -> list[Pair]:
    """Pairs that a person wrote, one a line: `red lace: cuff`. Every word must stand in the prompt.

    Of several places the one is taken where the words stand closest together. Raises ValueError with the line at fault.
    """
    pairs = []
    for pair in pairs_of_lines(lines, prompt):
        if isinstance(pair, ValueError):
            raise pair
        pairs.append(pair)
    return pairs


def pairs_of_lines(lines: str, prompt: str) -> list[Pair | ValueError]:
    """For each line that is not empty its pair as `own_pairs` finds it, or the ValueError that says why there is none.

    Raises ValueError for more than text_door.MOST_ITEMS lines.
    """
    words = [Word(m.group().lower(), m.start(), m.end()) for m in _WORD.finditer(plain_text(prompt))]
    places_of: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        places_of.setdefault(word.text, []).append(place)
    written = [(number, line) for number, line in enumerate(lines.splitlines(), 1) if line.strip()]
    found: list[Pair | ValueError] = []
    for number, line in checked_items(written, "pairs", "lines"):
        try:
            modifiers, noun = _place_pair(line, number, words, places_of)
            found.append(Pair(tuple(words[i] for i in modifiers), tuple(words[i] for i in noun)))
        except ValueError as problem:
            found.append(problem)
    return found


def _place_pair(
    line: str, number: int, words: Sequence[Word], places_of: dict[str, list[int]]
) -> tuple[list[int], tuple[int, ...]]:
    """(indices of the modifiers, indices of the noun) of one line, where they stand closest together."""
    before, colon, after = line.partition(":")
    modifiers, noun = _split(before), _split(after)
    if not colon or ":" in after or not modifiers or not noun:
        raise ValueError(
            f"Pair in line {number} is {quoted(line.strip())}; write it as `modifier words: noun`, one pair a line."
        )
    if len(noun) > MOST_SHARED:
        raise ValueError(f"Pair in line {number} has a noun of {len(noun)} words; at most {MOST_SHARED} are read.")
    places = _places(noun, words, places_of)
    if not places:
        raise ValueError(f"Pair in line {number}: the prompt does not say {quoted(' '.join(noun))}.")
    if len(places) > MOST_ITEMS:
        raise ValueError(
            f"Pair in line {number}: the prompt says {quoted(' '.join(noun))} {len(places):,} times; at "
            f"most {MOST_ITEMS} are told apart."
        )
    best = min((_nearest(modifiers, places_of, place, number) for place in places), key=lambda found: found[0])
    return best[1:]


def token_spans(words: Sequence[Word], prompt: str, pieces: Sequence[str | None]) -> list[list[int]]:
    """For each word the indices of its tokens.

    pieces: what every token of the whole encoding stands for, in order (all chunks one after another): lower case,
    without end-of-word marks, its UTF-8 bytes written as one character each (for ASCII that is the text itself); None
    for start, end and padding tokens. Raises ValueError when a word is not found whole.
    """
    # The tokenizer may write an apostrophe, an accent or a wide letter in another way: letters alone are compared.
    text, at = _letters(plain_text(prompt))
    owners = [index for index, piece in enumerate(pieces) for _ in piece or ""]
    written = "".join(piece or "" for piece in pieces).encode("latin-1").decode("utf-8", "surrogateescape")
    tokens, at_tokens = _letters(written)
    first_byte, length = [], 0
    for letter in written:
        first_byte.append(length)
        length += len(letter.encode("utf-8", "surrogateescape"))
    to_token = aligned(text, tokens)
    spans = []
    for word in words:
        letters = range(bisect_left(at, word.start), bisect_left(at, word.end))
        found = [to_token[i] for i in letters if i in to_token]
        if not found or len(found) < len(letters):
            raise ValueError(
                f"The word {quoted(word.text)} was not found among the text encoder's tokens of this prompt."
            )
        first, last = (owners[first_byte[at_tokens[i]]] for i in (found[0], found[-1]))
        spans.append([index for index in range(first, last + 1) if pieces[index] is not None])
    return spans


def _letters(text: str) -> tuple[str, list[int]]:
    """The letters and digits of a text without accents, in lower case, and where in the text each of them stands."""
    letters, at = [], []
    for place, letter in enumerate(text):
        for plain in unicodedata.normalize("NFKD", letter).lower():
            if plain.isalnum():
                letters.append(plain)
                at.append(place)
    return "".join(letters), at


def aligned(text: str, tokens: str) -> dict[int, int]:
    """Which letter of `tokens` each letter of `text` is, in order; letters of either that the other lacks are left out.

    Both go side by side; where they differ, the shortest way to AGREEMENT equal letters is taken, at most LOOKAHEAD
    letters ahead. So the time grows with the lengths alone.
    """
    to, i, j = {}, 0, 0
    while i < len(text) and j < len(tokens):
        if text[i] == tokens[j]:
            to[i] = j
            i, j = i + 1, j + 1
            continue
        step = _next_agreement(text, i, tokens, j)
        if step is None:
            break
        i, j = i + step[0], j + step[1]
    return to


def _next_agreement(text: str, i: int, tokens: str, j: int) -> tuple[int, int] | None:
    for letters in range(1, LOOKAHEAD):
        for skipped in range(letters + 1):
            a, b = i + skipped, j + letters - skipped
            if a < len(text) and b < len(tokens) and text[a : a + AGREEMENT] == tokens[b : b + AGREEMENT]:
                return skipped, letters - skipped
    return None


def _split(text: str) -> list[str]:
    return [match.group().lower() for match in _WORD.finditer(text)]


def _places(sought: Sequence[str], words: Sequence[Word], places_of: dict[str, list[int]]) -> list[tuple[int, ...]]:
    count = len(sought)
    return [
        tuple(range(i, i + count))
        for i in places_of.get(sought[0], ())
        if [word.text for word in words[i : i + count]] == list(sought)
    ]


def _nearest(
    modifiers: Sequence[str], places_of: dict[str, list[int]], noun: tuple[int, ...], number: int
) -> tuple[int, list[int], tuple[int, ...]]:
    """(distance, indices of the modifiers, indices of the noun) with every modifier as near to the noun as it
    stands."""
    chosen, distance = [], 0
    for modifier in modifiers:
        places = places_of.get(modifier, [])
        near = bisect_left(places, noun[0])  # the nearest outside the noun is among these, on either side
        around = [i for i in places[max(0, near - 1) : near + len(noun) + 1] if i not in noun]
        if not around:
            raise ValueError(f"Pair in line {number}: the prompt does not say {quoted(modifier)}.")
        # Before the noun is where a modifier usually stands; behind it counts one more.
        nearest = min(around, key=lambda i: abs(i - noun[0]) + (i > noun[0]))
        chosen.append(nearest)
        distance += abs(nearest - noun[0]) + (nearest > noun[0])
    return distance, sorted(chosen), noun


class _Item:
    """Reads one comma item word by word: phrases are the runs between the words that end one."""

    def __init__(self) -> None:
        self.found: list[list] = []  # [modifiers, noun words, negated]
        self.run: list[Word] = []
        self.names_something = False  # whether the run holds a noun
        self.links: set[str] = set()  # the words that led to the current run, as kinds
        self.subject: list | None = None  # the noun that "is white" or "in navy" speaks of
        self.shared: list[Word] = []  # modifiers of the noun before "and"

    def read(self, words: Sequence[Word]) -> list[Pair]:
        for word in words:
            kind = _ender(word.text)
            if kind is None:
                self.run.append(word)
                self.names_something = self.names_something or bool(_noun_places(self.run[-2:]))
            elif kind == "and" and self.run and not self.names_something:
                continue  # "black and white shirt": the run goes on
            else:
                self._close(kind)
        self._close("end")
        return [
            Pair(tuple(sorted(modifiers, key=lambda w: w.start)), tuple(noun))
            for modifiers, noun, negated in self.found
            if modifiers and not negated
        ]

    def _close(self, kind: str) -> None:
        if self.run:
            if kind != "person":  # "a tall woman": tall describes no garment
                self._phrase()
            self.run, self.names_something = [], False
            self.links = {"no"} & self.links if kind == "and" else set()
        self.links.add(kind)

    def _phrase(self) -> None:
        run = [word for word in self.run if word.text not in lists.INTENSIFIERS]
        places = _noun_places(run)
        if not places and self.subject and self.links & {"is", "of"} and "no" not in self.links:
            self.subject[0].extend(run)
        elif places:
            self._noun_phrase(run, places)
        elif not self.links & {"is", "of"}:
            self._material_phrase(run)

    def _material_phrase(self, run: Sequence[Word]) -> None:
        """ "with gold lace": a fabric that stands alone is a noun itself."""
        if len(run) > 1 and run[-1].text in lists.MATERIALS and run[-1].text not in lists.COLOURS:
            self.found.append([list(run[:-1]), [run[-1]], "no" in self.links])

    def _noun_phrase(self, run: Sequence[Word], places: list[list[int]]) -> None:
        head = places[-1]
        before = list(range(head[0]))
        negated = "no" in self.links
        part = places[-2] if len(places) > 1 else None
        if part and part[-1] == head[0] - 1 and _is(run, part, lists.PARTS) and _is(run, head, lists.GARMENTS):
            own = _shape_words(run, part[0])
            if own:  # "red long sleeve dress": long describes the sleeve, red the dress
                self.found.append([[run[i] for i in own], [run[i] for i in part], negated])
                before = list(range(own[0]))
        modifiers = [run[i] for i in before] + [
            run[i] for i in range(head[-1] + 1, len(run)) if _describes(run[i].text)
        ]
        if not modifiers and self.links == {"and"} and self.shared and _is(run, head, lists.PARTS):
            modifiers = list(self.shared)
        entry = [modifiers, [run[i] for i in head], negated]
        self.found.append(entry)
        self.subject = entry
        shared = _is(run, head, lists.PARTS) and len(modifiers) <= MOST_SHARED
        self.shared = list(modifiers) if shared else []


def _ender(text: str) -> str | None:
    """The kind of a word that ends a phrase, or None for a word that belongs to one."""
    if text in lists.CONJUNCTIONS:
        return "and"
    if text in lists.NEGATIONS:
        return "no"
    if text in lists.COPULAS:
        return "is"
    if text in lists.MADE_OF:
        return "of"
    if text == "from":
        return "of"
    if text in lists.PEOPLE or text.split("'")[0].split("’")[0] in lists.PEOPLE:
        return "person"
    if text in lists.DETERMINERS:
        return "the"
    if text in lists.PREPOSITIONS or text in lists.VERBS:
        return "other"
    return "the" if text.isdigit() else None


def _noun_places(run: Sequence[Word]) -> list[list[int]]:
    """Index lists of the nouns of a run; compounds are one noun, a material is none."""
    places, i = [], 0
    while i < len(run):
        two = tuple(word.text for word in run[i : i + 2])
        if len(two) == 2 and (two in lists.COMPOUNDS or (two[0], lists.singular(two[1])) in lists.COMPOUNDS):
            places.append([i, i + 1])
            i += 2
            continue
        if run[i].text not in lists.MATERIALS and lists.singular(run[i].text) in lists.NOUNS:
            places.append([i])
        i += 1
    return places


def _is(run: Sequence[Word], place: Sequence[int], kind: frozenset[str]) -> bool:
    return lists.singular(run[place[-1]].text) in kind


def _shape_words(run: Sequence[Word], end: int) -> list[int]:
    """Indices of the words just before `end` that speak of shape, not of colour, material or pattern."""
    start = end
    while start and run[start - 1].text not in _NO_SHAPE:
        start -= 1
    return list(range(start, end))


def _describes(text: str) -> bool:
    """Whether a word behind its noun describes it: "jeans ripped", "shirt tucked", "jacket denim"."""
    return text in lists.COLOURS or text in lists.MATERIALS or text.endswith("ed")
