"""The fashion vocabulary of HieraFashDiff's demo (English values of its configuration), by kind.

Ideation words (category, style, occasion, effect, feeling) describe the concept; the five attribute kinds are said
one after another, in the order of the area that they change: length, sleeve length, sleeve type, collar, hem.
"""

from __future__ import annotations

CATEGORIES = ("Dress", "Blouse", "Sweater", "Coat", "Jumpsuit", "Pant", "Skirt")
STYLES = (
    "Original Design", "Street Style", "Commute", "Korean Style", "Elegant", "Sweet", "Western Style", "Japanese Style",
    "British Style", "Vintage", "Artsy", "Courtly Style", "Simple Style", "Rural Style", "Campus Style", "Office Lady",
    "Homewear", "Sport", "Casual", "Noble", "Youth/Pop", "Business Gentleman", "Fresh", "Trendy", "Chinese "
"Style", "Punk",
    "Hip-hop", "Sexy", "Rock", "Workwear", "Office",
)  # fmt: skip
OCCASIONS = ("Campus", "Home", "Date", "Party", "Office", "Sport", "Travel", "Wedding", "Business")
EFFECTS = (
    "Slimming", "Youthful", "Tall", "Highlight Hips", "Brighten Skin", "Face Slimming", "Elongate Neck", "Enhance Bust",
    "Muscular Look",
)  # fmt: skip
FEELINGS = (
    "Sense of Curve", "Sense of Agility and Elegance", "Sense of Restraint", "Three-dimensional "
"Layering", "Hazy Sensation",
    "Drape Feeling", "Dullness Sensation", "Playful Feeling", "Youthful Feeling", "Sense of Fun",
    "Casual and Relaxed Feeling", "Sense of Atmosphere", "Line Feeling", "Stacking Feeling", "Mature Feeling",
    "Childlike Feeling", "Bulky Feeling", "Crisp Feeling", "Heavy Feeling", "Jungle Feeling", "Heavy Industry Feeling",
)  # fmt: skip
LENGTHS = ("Ultra-short", "Short", "Knee-length", "Mid-length", "Long")
SLEEVE_LENGTHS = ("Sleeveless", "Short Sleeve", "Elbow-length Sleeve", "Mid-length Sleeve", "Long Sleeve")
SLEEVE_TYPES = tuple(
    f"{word} Sleeve"
    for word in (
        "Dolman", "Puffed", "Lantern", "Flare", "Raglan", "Ruffle", "Wrapped", "Flutter", "Princess", "Layered",
        "Shirt", "Petal", "Kimono", "Regular", "Drop-shoulder",
    )
)  # fmt: skip
COLLARS = (
    "Round Collar", "V-Neck", "Square Collar", "Tailor Collar", "Lapel Collar", "Stand Collar", "T-neck", "Boat Neck",
    "U-Neck", "A-Line Collar", "Swinging Collar", "Irregular Collar", "Closed Collar",
)  # fmt: skip
HEMS = tuple(
    f"{word} Hem"
    for word in (
        "Flat", "Curved", "Ruffle", "Layered", "Low Waist", "Striped", "Wavy", "Slit", "Draped", "Irregular", "Curled",
        "Raw", "Ankle-tied", "Flared", "Flanging", "Loose", "Lace", "Tight-strap", "Drawstring", "Pleated",
    )
)  # fmt: skip

# Attribute kinds in the published order: the area that they change shrinks from top to bottom.
ATTRIBUTES = {
    "length": LENGTHS,
    "sleeve length": SLEEVE_LENGTHS,
    "sleeve type": SLEEVE_TYPES,
    "collar": COLLARS,
    "hem": HEMS,
}
CONCEPTS = {"category": CATEGORIES, "style": STYLES, "occasion": OCCASIONS, "effect": EFFECTS, "feeling": FEELINGS}
# The published names of the five edits.
PUBLISHED_NAMES = {"A1": "length", "A2": "sleeve length", "A3": "sleeve type", "A4": "collar", "A5": "hem"}

# What tells the kind of words that are not in the lists, looked for in this order.
_SLEEVE_LENGTH_WORDS = {"sleeveless", "short", "long", "elbow", "cap", "mid", "quarter", "three-quarter", "3/4"}
_COLLAR_ENDS = ("collar", "neck", "neckline", "lapel", "lapels")
_LENGTH_ENDS = ("length", "mini", "midi", "maxi")


def kind_of(text: str) -> str | None:
    """The attribute kind of a phrase ('Puffed Sleeve' -> 'sleeve type'), or None when nothing tells it.

    The lists of the vocabulary come first; other phrases are judged by their last word (sleeve, collar, neck, hem,
    length).
    """
    if "," in text:  # 'V-Neck, deep and wide': what stands first names the part, the rest describes it
        return kind_of(text.split(",", 1)[0])
    phrase = " ".join(text.lower().split())
    for kind, values in ATTRIBUTES.items():
        if phrase in {value.lower() for value in values}:
            return kind
    words = phrase.split()
    if not words:
        return None
    if words[-1] in ("sleeve", "sleeves", "sleeved", "sleeveless") or words[-1].endswith("-sleeve"):
        leading = {part for word in words[:-1] for part in (word, *word.split("-"))}
        return "sleeve length" if words[-1] == "sleeveless" or leading & _SLEEVE_LENGTH_WORDS else "sleeve type"
    if words[-1].split("-")[-1] in _COLLAR_ENDS:
        return "collar"
    if words[-1] in ("hem", "hemline"):
        return "hem"
    if words[-1].split("-")[-1] in _LENGTH_ENDS:
        return "length"
    return None


def area_rank(kind: str | None) -> int:
    """Place of a kind in the published order (0 = the largest area); unknown kinds come after all known ones."""
    kinds = list(ATTRIBUTES)
    return kinds.index(kind) if kind in kinds else len(kinds)


def presets() -> list[str]:
    """'kind: value' lines for a drop-down, in the published order of kinds."""
    return [f"{kind}: {value}" for kind, values in ATTRIBUTES.items() for value in values]
