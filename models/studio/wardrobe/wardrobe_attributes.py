"""What the studio wardrobe network tells of a garment: kinds of attribute, their values, which garment has which.

The values are those of the drawn garments (croquis); captions are written from them in the same grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TYPES = (
    "tee", "shirt", "blouse", "tank", "sweater", "jacket", "coat", "trousers", "shorts", "skirt", "dress", "jumpsuit",
    "pumps", "flats", "sneakers", "boots", "sandals", "tote", "handbag", "shoulder bag",
)  # fmt: skip
COLOURS = (
    "ivory", "white", "sand", "camel", "mustard", "apricot", "coral", "terracotta", "rust", "red", "burgundy", "blush",
    "rose", "fuchsia", "plum", "lilac", "violet", "navy", "denim", "blue", "sky", "teal", "turquoise", "mint", "sage",
    "olive", "green", "forest", "lemon", "chocolate", "taupe", "grey", "charcoal", "black",
)  # fmt: skip
VALUES: dict[str, tuple[str, ...]] = {
    "type": TYPES,
    "colour": COLOURS,
    "second colour": COLOURS,
    "pattern": ("plain", "stripes", "checks", "dots", "floral", "print"),
    "motif": ("star", "heart", "sun", "moon", "bolt", "leaf"),
    "fit": ("slim", "regular", "loose"),
    "length": ("ultra-short", "short", "knee", "mid", "long"),
    "sleeve length": ("sleeveless", "short", "elbow", "mid", "long"),
    "sleeve type": ("regular", "puffed", "lantern", "flare", "raglan", "ruffle", "shirt", "drop-shoulder"),
    "collar": ("round", "v", "u", "square", "boat", "stand", "turtle", "lapel", "tailor", "closed"),
    "hem": ("flat", "curved", "ruffle", "slit", "pleated", "wavy", "flared", "drawstring"),
}  # fmt: skip
KINDS = tuple(VALUES)
CATEGORY = {
    **dict.fromkeys(TYPES[:7], "upper"), **dict.fromkeys(TYPES[7:10], "lower"),
    **dict.fromkeys(TYPES[10:12], "overall"),
    **dict.fromkeys(TYPES[12:17], "shoe"), **dict.fromkeys(TYPES[17:], "bag"),
}  # fmt: skip

Said = Mapping[str, str]  # kind -> value of one garment


def applies(kind: str, said: Said) -> bool:
    """Whether a garment of this type (pattern, sleeve length) has such an attribute at all."""
    category = CATEGORY[said["type"]]
    if kind in ("type", "colour"):
        return True
    if category in ("shoe", "bag"):
        return kind == "pattern"
    if kind == "second colour":
        return said["pattern"] != "plain"
    if kind == "motif":
        return said["pattern"] == "print"
    if kind in ("sleeve length", "collar"):
        return category != "lower"
    if kind == "sleeve type":
        return category != "lower" and said["sleeve length"] != "sleeveless"
    return True


def numbered(said: Said) -> list[int]:
    """The value's place in VALUES for every kind, -1 where the garment has none."""
    return [VALUES[kind].index(said[kind]) if applies(kind, said) else -1 for kind in KINDS]


def named(numbers: Iterable[float]) -> dict[str, str]:
    """The opposite of `numbered`: only what the garment has."""
    return {kind: VALUES[kind][int(n)] for kind, n in zip(KINDS, numbers, strict=True) if int(n) >= 0}
