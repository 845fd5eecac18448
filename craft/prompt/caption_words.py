"""From a caption to what the Hierarchical Prompt Scheduler takes: a concept and attributes, the largest area first."""

from __future__ import annotations

import re

from ..garments import category_of
from .vocabulary import ATTRIBUTES, area_rank, kind_of

# Clauses that say what is not there would put it into the picture.
_NEGATION = re.compile(r"\b(no|not|without|lacks?|lacking|none|never|isn't|doesn't|don't)\b", re.I)
_CLAUSES = re.compile(r"[.;,:]|\b(?:with|featuring|features|has|having|and|that|which)\b", re.I)
_START = {"a", "an", "the", "this", "is", "it", "its", "are", "image", "photo", "picture", "of", "in", "shows",
          "garment",
          "clothing", "woman", "man", "person", "model", "wearing", "background"}  # fmt: skip
_DETERMINERS = {"a", "an", "the", "this", "is", "it", "its", "are", "also", "very", "in"}
_SAME = {
    "sleeves": "sleeve",
    "sleeved": "sleeve",
    "neckline": "neck",
    "collars": "collar",
    "hemline": "hem",
    "lapels": "lapel",
}
_WORD = re.compile(r"[A-Za-z0-9]+(?:[-'’/][A-Za-z0-9]+)*")
_NOUNS = ("sleeve", "collar", "neck", "hem", "lapel")
_KNOWN = {value.lower(): value for values in ATTRIBUTES.values() for value in values}
MOST_MODIFIERS = 2


def concept_and_attributes(caption: str) -> tuple[str, list[str]]:
    """("red cotton dress", ["Long", "Short Sleeve", "V-Neck"]) from a sentence. Nothing is invented: words of the
    vocabulary are written as the vocabulary does, other attributes in the caption's own words, negations are
    left out."""
    concept = ""
    found: dict[str | None, str] = {}
    for clause in _CLAUSES.split(caption):
        if not clause or _NEGATION.search(clause):
            continue
        words = [_SAME.get(word.lower(), word.lower()) for word in _WORD.findall(clause)]
        for value in _values(words):
            found.setdefault(kind_of(value), value)
        if not concept:
            concept = _concept(words)
    attributes = sorted((value for kind, value in found.items()), key=lambda value: area_rank(kind_of(value)))
    return concept or _first_words(caption), attributes


def _values(words: list[str]) -> list[str]:
    """Attribute phrases of a clause: vocabulary first, then '<modifiers> sleeve' and the like."""
    text, values, taken = f" {' '.join(words)} ", [], set()
    known = sorted((value for group in ATTRIBUTES.values() for value in group), key=len, reverse=True)
    for value in known:
        # One-word lengths ("Long") count only where no sleeve or collar takes them.
        if " " not in value and "-" not in value and value.lower() != "sleeveless":
            continue
        if f" {value.lower()} " in text and kind_of(value) not in taken:
            values.append(value)
            taken.add(kind_of(value))
    for place, word in enumerate(words):
        before = [w for w in words[max(0, place - MOST_MODIFIERS) : place] if w not in _DETERMINERS]
        if word in _NOUNS:
            for phrase in _phrases(before, word):
                if kind_of(phrase) not in (None, *taken):
                    values.append(phrase)
                    taken.add(kind_of(phrase))
        elif category_of(word) and "length" not in taken:
            length = next((v for v in ATTRIBUTES["length"] if v.lower() in words[max(0, place - 4) : place]), None)
            if length:
                values.append(length)
                taken.add("length")
    return values


def _phrases(before: list[str], noun: str) -> list[str]:
    """("short", "puffed") sleeve -> Short Sleeve, Puffed Sleeve; words that no list knows stay together."""
    single = [known for word in before if (known := _KNOWN.get(f"{word} {noun}"))]
    return single or ([" ".join([*before, noun])] if before else [])


def _concept(words: list[str]) -> str:
    """The garment's noun with the words before it, without articles and lengths."""
    for place in range(len(words) - 1, -1, -1):
        if category_of(words[place]):
            lengths = {value.lower() for value in ATTRIBUTES["length"]}
            before = [w for w in words[max(0, place - 4) : place] if w not in _START and w not in lengths]
            return " ".join([*before, words[place]])
    return ""


def _first_words(caption: str) -> str:
    return " ".join(word for word in _WORD.findall(caption)[:8] if word.lower() not in _DETERMINERS)
