"""Captions of garments and outfits: a concept, then the attributes in HieraFashDiff's order of levels and vocabulary.

The published order (A1 length, A2 sleeve length, A3 sleeve type, A4 collar, A5 hem) and its words are kept, so that a
caption can be cut at its commas. The concept has five items (what, colour, pattern, fit, mood), the attributes five:
ten in all, as the published stages count them. What a garment does not have (sleeves of a skirt) is left out of a
garment's caption.
"""

from __future__ import annotations

from collections.abc import Callable

from .colours import colour_name
from .figure import FigureSpec
from .garment import GarmentSpec

LENGTH_WORDS = {
    "ultra-short": "Ultra-short",
    "short": "Short",
    "knee": "Knee-length",
    "mid": "Mid-length",
    "long": "Long",
}
SLEEVE_LENGTH_WORDS = {
    "sleeveless": "Sleeveless", "short": "Short Sleeve", "elbow": "Elbow-length Sleeve", "mid": "Mid-length Sleeve",
    "long": "Long Sleeve",
}  # fmt: skip
SLEEVE_TYPE_WORDS = {
    "regular": "Regular Sleeve", "puffed": "Puffed Sleeve", "lantern": "Lantern Sleeve", "flare": "Flare Sleeve",
    "raglan": "Raglan Sleeve", "ruffle": "Ruffle Sleeve", "shirt": "Shirt Sleeve",
    "drop-shoulder": "Drop-shoulder Sleeve",
}  # fmt: skip
COLLAR_WORDS = {
    "round": "Round Collar", "v": "V-Neck", "u": "U-Neck", "square": "Square Collar", "boat": "Boat Neck",
    "stand": "Stand Collar", "turtle": "T-neck", "lapel": "Lapel Collar", "tailor": "Tailor Collar",
    "closed": "Closed Collar",
}  # fmt: skip
HEM_WORDS = {
    "flat": "Flat Hem", "curved": "Curved Hem", "ruffle": "Ruffle Hem", "slit": "Slit Hem", "pleated": "Pleated Hem",
    "wavy": "Wavy Hem", "flared": "Flared Hem", "drawstring": "Drawstring Hem",
}  # fmt: skip
KIND_WORDS = {"tee": "T-shirt", "tank": "Tank Top", "trousers": "Pant", "shoulder bag": "Shoulder Bag"}
PATTERN_WORDS = {"plain": "plain", "stripes": "striped", "checks": "checked", "dots": "dotted", "floral": "floral"}
MOODS = {"slim": "Elegant", "regular": "Casual", "loose": "Playful Feeling"}


def kind_word(garment: GarmentSpec) -> str:
    return KIND_WORDS.get(garment.kind, garment.kind.title())


def pattern_word(garment: GarmentSpec) -> str:
    return f"{garment.motif} print" if garment.pattern == "print" else PATTERN_WORDS[garment.pattern]


def colour_words(garment: GarmentSpec) -> str:
    """One name for a plain garment, `ground and motif` for a patterned one."""
    ground = colour_name(garment.colours[0])
    return ground if garment.pattern == "plain" else f"{ground} and {colour_name(garment.colours[1])}"


def garment_attributes(garment: GarmentSpec) -> list[str]:
    """What a garment has of A1..A5, in that order."""
    if garment.category in ("shoe", "bag"):
        return []
    out = [LENGTH_WORDS[garment.length]]
    if garment.category != "lower":
        out.append(SLEEVE_LENGTH_WORDS[garment.sleeve_length])
        if garment.sleeve_length != "sleeveless":
            out.append(SLEEVE_TYPE_WORDS[garment.sleeve_type])
        out.append(COLLAR_WORDS[garment.collar])
    return [*out, HEM_WORDS[garment.hem]]


def garment_caption(garment: GarmentSpec) -> dict:
    """{"concept", "attributes", "text"} of one garment, as its flat-lay shows it."""
    concept = [kind_word(garment), colour_words(garment), pattern_word(garment)]
    if garment.category not in ("shoe", "bag"):
        concept.append(f"{garment.fit} fit")
    attributes = garment_attributes(garment)
    return {"concept": ", ".join(concept), "attributes": attributes, "text": ", ".join([*concept, *attributes])}


def figure_caption(spec: FigureSpec) -> dict:
    """{"concept", "attributes" (length, sleeve length, sleeve type, collar, hem), "text"} of a dressed figure.

    Length and hem are those of the garment that ends lowest among dress, skirt and trousers, sleeves and collar those
    of the top. A figure without sleeves says Regular Sleeve, so that the five levels keep their places.
    """
    worn = [g for g in spec.garments if g.category in ("upper", "lower", "overall")]
    extras = [g for g in spec.garments if g.category in ("shoe", "bag")]
    if not worn:
        concept = ", ".join(f"{colour_words(g)} {kind_word(g)}" for g in extras)
        return {"concept": concept, "attributes": [], "text": concept}
    named = sorted(worn, key=lambda g: (g.open, g.category == "lower"))
    kinds = " and ".join(kind_word(g) for g in named if not g.open)
    kinds += "".join(f" under open {kind_word(g)}" for g in named if g.open)
    if extras:
        kinds += " with " + " and ".join(f"{colour_name(g.colours[0])} {kind_word(g)}" for g in extras)
    main = named[0]
    parts = [kinds, _each(named, colour_words), _each(named, pattern_word), f"{main.fit} fit", MOODS[main.fit]]
    top = next((g for g in named if g.category != "lower"), None)
    bottom = next((g for g in named if g.category == "lower"), main)
    attributes = [LENGTH_WORDS[bottom.length]]
    if top is not None:
        attributes += [
            SLEEVE_LENGTH_WORDS[top.sleeve_length],
            SLEEVE_TYPE_WORDS["regular" if top.sleeve_length == "sleeveless" else top.sleeve_type],
            COLLAR_WORDS[top.collar],
        ]
    attributes.append(HEM_WORDS[bottom.hem])
    return {"concept": ", ".join(parts), "attributes": attributes, "text": ", ".join([*parts, *attributes])}


def _each(garments: list[GarmentSpec], word: Callable[[GarmentSpec], str]) -> str:
    """Each garment's word beside the garment it belongs to: `navy T-shirt and camel Skirt`; one garment: the word
    alone.
    """
    if len(garments) == 1:
        return word(garments[0])
    return " and ".join(f"{word(g)} {kind_word(g)}" for g in garments)
