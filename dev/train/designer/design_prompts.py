"""What the designer is told of a drawn figure: captions in several forms, cut by noise level, each word with its
garment.

A caption is a list of pieces. A piece knows whose it is (which garment's cells should read it) and its level: 0 the
concept, 1..5 the attributes in HieraFashDiff's order. Pieces end at word boundaries, so their tokens are those of the
whole caption.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ....craft.prompt.timetable import PUBLISHED_BORDERS
from ....croquis.captions import (
    COLLAR_WORDS,
    HEM_WORDS,
    LENGTH_WORDS,
    MOODS,
    PATTERN_WORDS,
    SLEEVE_LENGTH_WORDS,
    SLEEVE_TYPE_WORDS,
    kind_word,
    pattern_word,
)
from ....croquis.colours import COLOURS, MOTIFS, PATTERNS, colour_name
from ....croquis.figure import FigureSpec
from ....croquis.garment import FITS, KINDS, GarmentSpec
from ....models.studio.designer.text_encoder import END, LENGTH, START

UNKNOWN = 0  # the table's row for words that were never trained
NOBODY = -1
LEVELS = ("", "length", "sleeve_length", "sleeve_type", "collar", "hem")  # what the attributes of a level are called
# Other words for the same thing, said now and then.
OTHER_WORDS = {
    "Pant": ("pants", "trousers"), "T-shirt": ("tee",), "Tank Top": ("tank",), "Knee-length": ("knee length", "midi"),
    "Ultra-short": ("mini", "very short"), "Long": ("full-length", "long length"), "Short": ("short length",),
    "Mid-length": ("mid length", "calf-length"), "Short Sleeve": ("short sleeves", "short-sleeved"),
    "Long Sleeve": ("long sleeves", "long-sleeved"), "Sleeveless": ("no sleeves",),
    "Elbow-length Sleeve": ("elbow sleeves",),
    "Mid-length Sleeve": ("three-quarter sleeves",), "V-Neck": ("v neck", "v-neckline"),
    "U-Neck": ("u neck", "scoop neck"),
    "Round Collar": ("round neck", "crew neck"), "T-neck": ("turtleneck",), "Boat Neck": ("boat neckline",),
    "Square Collar": ("square neck",), "Puffed Sleeve": ("puffed sleeves", "puff sleeves"),
    "Flare Sleeve": ("flared sleeves",),
    "Lantern Sleeve": ("lantern sleeves",), "Ruffle Sleeve": ("ruffled sleeves",), "checked": ("checks", "plaid"),
    "striped": ("stripes",), "dotted": ("dots", "polka dot"), "floral": ("flowers",), "Ruffle Hem": ("ruffled hem",),
    "Pleated Hem": ("pleats",), "Slit Hem": ("slit",),
}  # fmt: skip
OPENINGS = ("a woman in ", "fashion sketch of ", "full body, ", "a figure wearing ", "fashion design, ")


@dataclass(frozen=True)
class Piece:
    text: str
    owner: int = NOBODY
    level: int = 0
    says: str = ""  # what it tells of its owner: ground, motif colour, pattern, kind, fit, or an attribute of LEVELS


@dataclass(frozen=True)
class PromptMix:
    """Shares of samples whose prompt is: empty, cut by noise level, shuffled, thinned out, in garment phrases, with
    other or unknown words, with an opening."""

    empty: float = 0.10
    by_level: float = 0.5
    shuffled: float = 0.1
    thinned: float = 0.25
    phrases: float = 0.2
    other_words: float = 0.25
    unknown: float = 0.1
    opening: float = 0.1


def caption_pieces(spec: FigureSpec) -> list[list[Piece]]:
    """`figure_caption(spec)` as items of pieces: five of the concept, then the attributes that there are."""
    worn = [(i, g) for i, g in enumerate(spec.garments) if g.category in ("upper", "lower", "overall")]
    extras = [(i, g) for i, g in enumerate(spec.garments) if g.category in ("shoe", "bag")]
    named = sorted(worn, key=lambda pair: (pair[1].open, pair[1].category == "lower"))
    garments: list[Piece] = []
    for i, g in (pair for pair in named if not pair[1].open):
        garments += [Piece(" and ")] * bool(garments) + [Piece(kind_word(g), i, 0, "kind")]
    for i, g in (pair for pair in named if pair[1].open):
        garments += [Piece(" under open "), Piece(kind_word(g), i, 0, "kind")]
    for number, (i, g) in enumerate(extras):
        garments += [
            Piece(" and " if number else " with "),
            Piece(colour_name(g.colours[0]), i, 0, "ground"),
            Piece(f" {kind_word(g)}", i, 0, "kind"),
        ]
    main = named[0][1]
    top = next((pair for pair in named if pair[1].category != "lower"), None)
    bottom = next((pair for pair in named if pair[1].category == "lower"), named[0])
    items = [garments, _each(named, _colours), _each(named, _pattern),
             [Piece(f"{main.fit} fit", named[0][0], 0, "fit")],
             [Piece(MOODS[main.fit])], [_attribute(LENGTH_WORDS[bottom[1].length], bottom[0], 1)]]  # fmt: skip
    if top is not None:
        i, g = top
        kind = "regular" if g.sleeve_length == "sleeveless" else g.sleeve_type
        items += [[_attribute(SLEEVE_LENGTH_WORDS[g.sleeve_length], i, 2)], [_attribute(SLEEVE_TYPE_WORDS[kind], i, 3)],
                  [_attribute(COLLAR_WORDS[g.collar], i, 4)]]  # fmt: skip
    return [*items, [_attribute(HEM_WORDS[bottom[1].hem], bottom[0], 5)]]


def _attribute(text: str, owner: int, level: int) -> Piece:
    return Piece(text, owner, level, LEVELS[level])


def _each(garments: list[tuple[int, GarmentSpec]], word) -> list[Piece]:
    if len(garments) == 1:
        return word(*garments[0])
    out: list[Piece] = []
    for i, g in garments:
        out += [Piece(" and ")] * bool(out) + [*word(i, g), Piece(f" {kind_word(g)}", i, 0, "kind")]
    return out


def _colours(i: int, g: GarmentSpec) -> list[Piece]:
    ground = [Piece(colour_name(g.colours[0]), i, 0, "ground")]
    return (
        ground
        if g.pattern == "plain"
        else [*ground, Piece(" and ", i), Piece(colour_name(g.colours[1]), i, 0, "motif colour")]
    )


def _pattern(i: int, g: GarmentSpec) -> list[Piece]:
    return [Piece(pattern_word(g), i, 0, "pattern")]


def phrase_pieces(spec: FigureSpec, rng: np.random.Generator) -> list[list[Piece]]:
    """Each garment as one phrase ("navy and white striped T-shirt"), the attributes as in the caption."""
    phrases = []
    for i, g in enumerate(spec.garments):
        silent = g.pattern == "plain" and rng.random() < 0.5
        pattern = [] if silent else [Piece(" ", i), *_pattern(i, g)]
        phrases.append([*_colours(i, g), *pattern, Piece(f" {kind_word(g)}", i, 0, "kind")])
    rng.shuffle(phrases)
    return [*phrases, *(item for item in caption_pieces(spec) if item[0].level)]


def prompt(spec: FigureSpec, t: int, rng: np.random.Generator, mix: PromptMix = PromptMix()) -> list[Piece]:
    """The pieces of one sample's prompt at timestep t, separators included; none: the empty prompt."""
    if rng.random() < mix.empty:
        return []
    items = phrase_pieces(spec, rng) if rng.random() < mix.phrases else caption_pieces(spec)
    if rng.random() < mix.by_level:
        items = [item for item in items if _said(item[0].level, t)]
    if rng.random() < mix.thinned:
        items = [item for item in items if rng.random() > 0.3] or items[:1]
    if rng.random() < mix.shuffled:
        rng.shuffle(items)
    if rng.random() < mix.other_words:
        items = [[replace(p, text=_other(p.text, rng)) for p in item] for item in items]
    if rng.random() < mix.unknown:
        for _ in range(int(rng.integers(1, 4))):
            items.insert(int(rng.integers(len(items) + 1)), [Piece("")])
    out = [Piece(OPENINGS[int(rng.integers(len(OPENINGS)))])] if rng.random() < mix.opening else []
    for number, item in enumerate(items):
        out += [Piece(", ")] * bool(number) + item
    return out


def _said(level: int, t: int) -> bool:
    return level == 0 or t < PUBLISHED_BORDERS[level - 1]


def _other(text: str, rng: np.random.Generator) -> str:
    choices = OTHER_WORDS.get(text, ())
    return choices[int(rng.integers(len(choices)))] if choices and rng.random() < 0.6 else text


class Words:
    """Word numbers for prompts: CLIP's own tokens, of which only those of the fashion vocabulary are trained.

    folder: CLIP's tokenizer files (vocab.json, merges.txt). `numbers`: CLIP's numbers of the trained words, whose rows
    in the trained table are 1, 2, 3 ...; row 0 is every other word. more: texts whose words are trained too.
    """

    def __init__(self, folder: Path, more: Iterable[str] = ()):
        from transformers import CLIPTokenizerFast

        self._tokenizer = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
        self.tokens = lru_cache(maxsize=20_000)(self._tokens)
        known = {token for text in [*vocabulary(), *more] for token in self.tokens(text)}
        self.numbers = sorted(known | {START, END})
        self.rows = {number: row for row, number in enumerate(self.numbers, 1)}

    def _tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def rows_of(self, piece: Piece) -> list[int]:
        return [self.rows.get(token, UNKNOWN) for token in self.tokens(piece.text)] if piece.text else [UNKNOWN]

    def encode(self, pieces: list[Piece]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows, owners, grounds), int64 [77] each: whose word it is, and whose ground colour it names, or -1. What is
        longer than CLIP's window is cut."""
        rows, owners, grounds = [self.rows[START]], [NOBODY], [NOBODY]
        for piece in pieces:
            tokens = self.rows_of(piece)
            rows += tokens
            owners += [piece.owner] * len(tokens)
            grounds += [piece.owner if piece.says == "ground" else NOBODY] * len(tokens)
        padding = LENGTH - min(len(rows), LENGTH - 1)
        ends = ((rows, self.rows[END]), (owners, NOBODY), (grounds, NOBODY))
        return tuple(np.array(values[: LENGTH - 1] + [end] * padding) for values, end in ends)


def vocabulary() -> list[str]:
    """Every text that a prompt's pieces are made of."""
    kinds = [kind_word(GarmentSpec(kind, category)) for category, names in KINDS.items() for kind in names]
    tables = (LENGTH_WORDS, SLEEVE_LENGTH_WORDS, SLEEVE_TYPE_WORDS, COLLAR_WORDS, HEM_WORDS, PATTERN_WORDS, MOODS)
    out = [*kinds, *PATTERNS, *FITS, *COLOURS, *(word for table in tables for word in table.values())]
    out += [f"{motif} print" for motif in MOTIFS]
    out += [word for words in OTHER_WORDS.values() for word in words]
    return [*out, *OPENINGS, ", and with under open fit a of the"]
