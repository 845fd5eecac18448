"""The studio wardrobe network's language: which phrases it knows, how a garment or a change is said, how it is read
back.

A token is a phrase ("long sleeve", "v-neck"), so captions are short and every attribute's value is one token. Words
that are not in the list are left out; `known_words` tells what was understood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .wardrobe_attributes import CATEGORY, KINDS, VALUES, Said

if TYPE_CHECKING:
    import numpy as np

PAD, CLS, DEC, SEP = range(4)
_MARKS = ("[PAD]", "[CLS]", "[DEC]", "[SEP]")
_ENDS = {"fit": " fit", "sleeve length": " sleeve", "sleeve type": " sleeve", "collar": " collar", "hem": " hem"}
_PHRASES = {
    ("fit", "slim"): "slim", ("fit", "loose"): "loose", ("sleeve length", "sleeveless"): "sleeveless",
    ("length", "knee"): "knee-length", ("length", "mid"): "mid-length",
    ("sleeve length", "elbow"): "elbow-length sleeve",
    ("sleeve length", "mid"): "mid-length sleeve", ("collar", "v"): "v-neck", ("collar", "u"): "u-neck",
    ("collar", "boat"): "boat neck", ("collar", "turtle"): "t-neck",
}  # fmt: skip
RELATIVE = ("longer", "shorter", "longer sleeve", "shorter sleeve", "looser", "slimmer")
JOINING = ("with", "instead of", "without", "and")
GROUPS = {"top": "upper", "bottom": "lower", "one-piece": "overall", "shoe": "shoe", "bag": "bag"}
# What people say for a phrase of the list.
SAME = {
    "t-shirt": "tee", "tshirt": "tee", "tank top": "tank", "top tank": "tank", "jumper": "sweater",
    "pullover": "sweater",
    "blazer": "jacket", "pant": "trousers", "pants": "trousers", "gown": "dress", "overall": "jumpsuit",
    "heels": "pumps",
    "trainers": "sneakers", "ballerinas": "flats", "tote bag": "tote", "purse": "handbag", "striped": "stripes",
    "stripe": "stripes", "checked": "checks", "check": "checks", "plaid": "checks", "dotted": "dots",
    "polka dots": "dots",
    "polka dot": "dots", "flowers": "floral", "flowered": "floral", "printed": "print", "solid": "plain",
    "unpatterned": "plain",
    "without pattern": "plain", "gray": "grey", "navy blue": "navy", "sky blue": "sky", "light blue": "sky",
    "purple": "violet",
    "yellow": "lemon", "orange": "apricot", "pink": "rose", "brown": "chocolate", "beige": "sand", "cream": "ivory",
    "dark green": "forest", "wine": "burgundy", "tight": "slim", "fitted": "slim", "slim fit": "slim",
    "slim-fit": "slim", "loose-fit": "loose", "wide": "loose",
    "oversized": "loose", "loose fit": "loose", "mini": "ultra-short", "very short": "ultra-short",
    "midi": "mid-length",
    "maxi": "long", "knee length": "knee-length", "mid length": "mid-length", "no sleeve": "sleeveless",
    "without sleeve": "sleeveless", "elbow sleeve": "elbow-length sleeve", "mid sleeve": "mid-length sleeve",
    "puff sleeve": "puffed sleeve", "flared sleeve": "flare sleeve", "dropped shoulder": "drop-shoulder sleeve",
    "round neck": "round collar", "crew neck": "round collar", "v collar": "v-neck", "v neck": "v-neck",
    "u neck": "u-neck",
    "u collar": "u-neck", "square neck": "square collar", "boat collar": "boat neck", "turtleneck": "t-neck",
    "turtle neck": "t-neck", "turtle collar": "t-neck", "polo neck": "t-neck", "lapel": "lapel collar",
    "tailored collar": "tailor collar", "closed neck": "closed collar", "straight hem": "flat hem",
    "pleats": "pleated hem",
    "pleated": "pleated hem", "slit": "slit hem", "frilled hem": "ruffle hem", "tighter": "slimmer", "wider": "looser",
    "rather than": "instead of", "but": "with", "in": "with", "no": "without", "not": "without", "clothing": "top",
}  # fmt: skip


def phrase(kind: str, value: str) -> str:
    """How a value is written: ("sleeve length", "long") -> "long sleeve". A second colour is written as a colour is."""
    return _PHRASES.get((kind, value), value + _ENDS.get(kind, ""))


def _vocabulary() -> tuple[str, ...]:
    said = [phrase(kind, value) for kind in KINDS if kind != "second colour" for value in VALUES[kind]]
    return tuple(dict.fromkeys((*_MARKS, *said, *RELATIVE, *JOINING, *GROUPS)))


VOCABULARY = _vocabulary()
_ID = {word: number for number, word in enumerate(VOCABULARY)}
_LONGEST = max(len(words.split()) for words in (*VOCABULARY, *SAME))
LONGEST_TEXT = 20  # tokens, [CLS] included


def value_ids(kind: str) -> list[int]:
    """The tokens of a kind's values, in the order of VALUES."""
    return [_ID[phrase(kind, value)] for value in VALUES[kind]]


def words_of(ids: Sequence[int]) -> list[str]:
    return [VOCABULARY[i] for i in ids]


def token_ids(text: str) -> list[int]:
    """[CLS] and the tokens of the phrases of a text that the network knows, longest first; at most LONGEST_TEXT."""
    words = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", _plain(text))
    ids, place = [CLS], 0
    while place < len(words):
        for length in range(min(_LONGEST, len(words) - place), 0, -1):
            token = _token(" ".join(words[place : place + length]))
            if token is not None:
                ids.append(token)
                place += length
                break
        else:
            place += 1
    return ids[:LONGEST_TEXT]


def known_words(text: str) -> list[str]:
    """The phrases of a text that the network understands."""
    return words_of(token_ids(text)[1:])


def says_something(text: str) -> bool:
    """Whether a text names at least one thing that the network knows; "with" and the like alone do not."""
    return any(word not in JOINING for word in known_words(text))


def _plain(text: str) -> str:
    """Lower case, 'sleeves' and 'sleeved' as 'sleeve', and 'long puffed sleeve' as 'long sleeve puffed sleeve'."""
    text = re.sub(r"\b(sleeve|collar|hem|neck)(?:s|d|line)\b", r"\1", text.lower().replace("_", " "))
    sleeve = "|".join(re.escape(phrase(kind, value).removesuffix(" sleeve")) for kind in ("sleeve length",
                      "sleeve type")
                      for value in VALUES[kind] if value != "sleeveless")  # fmt: skip
    return re.sub(rf"\b({sleeve}|longer|shorter)[ ,]+(?:and )?({sleeve})[ -]sleeve\b", r"\1 sleeve \2 sleeve", text)


def _token(words: str) -> int | None:
    for form in (words, words.removesuffix("s"), words.replace(" ", "-"), words + "s"):
        form = SAME.get(form, form)
        if form in _ID and form not in _MARKS:
            return _ID[form]
    return None


# ------------------------------------------------------------------------------------------------ garments
def caption_ids(said: Said) -> list[int]:
    """The caption that the language head learns, without marks: fit, length, colour, type, pattern and its colour and
    motif, sleeves, collar, hem; one token a value."""
    order = (
        "fit",
        "length",
        "colour",
        "type",
        "second colour",
        "motif",
        "pattern",
        "sleeve length",
        "sleeve type",
        "collar",
        "hem",
    )
    return [_ID[phrase(kind, said[kind])] for kind in order if kind in said]


def read_caption(ids: Sequence[int]) -> dict[str, str]:
    """What a caption of `caption_ids`' order says, by kind. Of two colours the second is the pattern's."""
    said: dict[str, str] = {}
    for token in ids:
        for kind in KINDS:
            if kind == "second colour":
                continue
            values = value_ids(kind)
            if token in values:
                name = "second colour" if kind == "colour" and "colour" in said else kind
                said.setdefault(name, VALUES[kind][values.index(token)])
                break
    return said


def sentence(said: Said, style: str = "professional") -> str:
    """A caption for people, which `token_ids` reads back. short: the garment; professional: one sentence; detailed: all
    of it, the fit said even where it is regular."""
    if "type" not in said:
        return ""
    kind, pattern = said["type"], said.get("pattern", "plain")
    if kind in ("tee", "tank"):
        kind = {"tee": "t-shirt", "tank": "tank top"}[kind]
    colour = said.get("colour", "")
    if style == "short":
        words = [colour, "" if pattern == "plain" else _adjective(pattern), kind]
        return " ".join(word for word in words if word)
    fit = said.get("fit", "")
    fit = phrase("fit", fit) if fit and (fit != "regular" or style == "detailed") else ""
    length = phrase("length", said["length"]) if "length" in said else ""
    start = " ".join(
        word
        for word in (fit, length, colour, "plain" if pattern == "plain" and style == "detailed" else "", kind)
        if word
    )
    parts = []
    if pattern != "plain":
        cloth = {"print": f"{said.get('motif', '')} print", "floral": "floral print"}.get(pattern, pattern)
        parts.append(" ".join(word for word in (said.get("second colour", ""), cloth) if word))
    parts += [
        phrase(k, said[k])
        for k in ("sleeve length", "sleeve type")
        if k in said and (style == "detailed" or said[k] != "regular")
    ]
    parts += [phrase(k, said[k]) for k in ("collar", "hem") if k in said]
    article = "An" if start[:1] in "aeiou" else "A"
    return f"{article} {start}" + (f" with {', '.join(parts)}." if parts else ".")


def _adjective(pattern: str) -> str:
    return {"stripes": "striped", "checks": "checked", "dots": "dotted", "print": "printed"}.get(pattern, pattern)


# ------------------------------------------------------------------------------------------------ queries
def query_ids(said: Said, rng: np.random.Generator, keep: float) -> tuple[list[int], set[str]]:
    """([CLS] and tokens of a caption in people's order, the kinds that it says). Each kind is said with chance `keep`;
    type or at least one kind always is. rng: numpy Generator."""
    kinds = {kind for kind in said if rng.random() < keep}
    kinds |= {"type"} if rng.random() < 0.7 or not kinds else set()
    if "pattern" not in kinds:  # a second colour, a motif are said with their pattern or not at all
        kinds -= {"second colour", "motif"}
    if "pattern" in kinds and said["pattern"] == "floral" and "print" in kinds:
        kinds.discard("print")

    def of(*wanted: str) -> list[int]:
        return [_ID[phrase(kind, said[kind])] for kind in wanted if kind in kinds]

    front, rest = of("fit", "length"), [of("sleeve length"), of("sleeve type"), of("collar"), of("hem")]
    if rng.random() < 0.3:
        front = front[::-1]
    cloth = of("second colour", "motif", "pattern")
    noun = of("type") or ([_ID[group_of(said)]] if rng.random() < 0.5 else [])
    joined = [_ID["with"]] if rng.random() < 0.4 else []
    if rng.random() < 0.5:
        rest = [rest[int(i)] for i in rng.permutation(len(rest))]
    tail = [token for part in rest for token in part]
    if cloth and "second colour" not in kinds and rng.random() < 0.5:
        return [CLS, *front, *of("colour"), *cloth, *noun, *(joined if tail else []), *tail], kinds
    behind = cloth + tail if rng.random() < 0.7 or not cloth else tail + cloth
    return [CLS, *front, *of("colour"), *noun, *(joined if behind else []), *behind], kinds


def group_of(said: Said) -> str:
    return next(word for word, category in GROUPS.items() if category == CATEGORY[said["type"]])


def change_ids(before: Said, after: Said, rng: np.random.Generator) -> list[int]:
    """[CLS] and tokens of the wish that leads from one garment to the other: "in red", "with long sleeve instead of
    short sleeve", "longer sleeve". Only what differs is said, and what a new pattern brings with it."""
    ids = [CLS]
    for kind in (k for k in KINDS if after.get(k) is not None and after[k] != before.get(k)):
        if kind in ("second colour", "motif") and after["pattern"] != before["pattern"]:
            continue  # said with the pattern
        value, old = _ID[phrase(kind, after[kind])], before.get(kind)
        relative = _relative(kind, old, after[kind])
        if relative and rng.random() < 0.4:
            ids.append(_ID[relative])
            continue
        if rng.random() < 0.5:
            ids.append(_ID["with"])
        if kind == "pattern":
            ids += [
                _ID[phrase(k, after[k])]
                for k in ("second colour", "motif")
                if k in after and (k == "motif" or rng.random() < 0.7)
            ]
        if kind == "second colour":
            ids += [value, _ID[after["pattern"]]]
        elif kind == "motif":
            ids += [value, _ID["print"]]
        else:
            ids.append(value)
            if old is not None and rng.random() < 0.3:
                ids += [_ID["instead of"], _ID[phrase(kind, old)]]
    return ids[:LONGEST_TEXT]


def _relative(kind: str, old: str | None, new: str) -> str | None:
    words = {
        "length": ("longer", "shorter"),
        "sleeve length": ("longer sleeve", "shorter sleeve"),
        "fit": ("looser", "slimmer"),
    }
    if old is None or kind not in words:
        return None
    return words[kind][VALUES[kind].index(new) < VALUES[kind].index(old)]
