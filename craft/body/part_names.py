"""What the body nodes offer to choose from, and the little language of parts ("sleeves + collar - hands")."""

from __future__ import annotations

from ..text_door import checked_items, quoted

BOTH_SIDES = ("upper arm", "forearm", "hand", "thigh", "shin", "foot", "sleeve", "trouser leg")
ONE_PIECE = ("head", "hair", "face", "neck", "collar", "torso", "hips", "skirt", "hem", "top hem")
PLURALS = {
    "upper arms": "upper arm", "arms": "sleeve", "forearms": "forearm", "hands": "hand", "thighs": "thigh",
    "shins": "shin", "feet": "foot", "sleeves": "sleeve", "trouser legs": "trouser leg", "legs": "trouser leg",
}  # fmt: skip
SINGLE = tuple(f"{side} {name}" for name in BOTH_SIDES for side in ("right", "left"))
PART_NAMES = (*ONE_PIECE, *SINGLE)
ALL_NAMES = (*PART_NAMES, *PLURALS, "whole body")
STYLES = ("limb capsules", "parser regions", "both intersected", "published boxes")
MAP_KINDS = ("ATR (18 labels)", "LIP (20 labels)", "bare parts (18 labels)")  # what a label map from outside may hold

# What may be kept out of a try-on mask.
PROTECTABLE = ("face", "hair", "hands", "feet", "bag")

# HieraFashDiff's published boxes: attributes, and the garments whose boxes start below or above the hips.
ATTRIBUTES = ("A1 length", "A2 sleeve length", "A3 sleeve type", "A4 collar", "A5 hem")
LOWER = ("Dress", "Jumpsuit", "Coat", "Pant", "Skirt", "Shirt")
UPPER = ("Blouse", "Sweater")


def parse_parts(text: str) -> list[tuple[bool, str]]:
    """The terms of a text: "sleeves + collar - hands" -> [(True, "right sleeve"), (True, "left sleeve"), (True,
    "collar"), (False, ...)].

    Raises ValueError that names the part it does not know.
    """
    named = []
    for piece in text.replace(",", "+").replace("-", "+-").split("+"):
        name = " ".join(piece.strip().lstrip("- ").lower().replace("_", " ").split())
        if name:
            named.append((not piece.strip().startswith("-"), name))
    checked_items(named, "parts", "parts")
    return [(keep, single) for keep, name in named for single in expand(name)]


def expand(name: str) -> tuple[str, ...]:
    """A part name, a plural or "whole body" as single parts. Raises ValueError for a name that is none of these."""
    if name in PART_NAMES:
        return (name,)
    if name in BOTH_SIDES:
        return (f"right {name}", f"left {name}")
    if name in PLURALS:
        return (f"right {PLURALS[name]}", f"left {PLURALS[name]}")
    if name == "whole body":
        return ("head", "neck", "torso", "hips", *expand("sleeves"), *expand("hands"), *expand("legs"), *expand("feet"))
    raise ValueError(f"There is no body part {quoted(name)}; known are {', '.join(ALL_NAMES)}.")
