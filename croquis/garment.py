"""Garments: what can be chosen (the vocabulary) and a valid random choice. Shapes are cut in `cut.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .colours import MOTIFS, PATTERNS, PERIODS, Colour, random_colours

KINDS: dict[str, tuple[str, ...]] = {
    "upper": ("tee", "shirt", "blouse", "tank", "sweater", "jacket", "coat"),
    "lower": ("trousers", "shorts", "skirt"),
    "overall": ("dress", "jumpsuit"),
    "shoe": ("pumps", "flats", "sneakers", "boots", "sandals"),
    "bag": ("tote", "handbag", "shoulder bag"),
}  # fmt: skip
LENGTHS = ("ultra-short", "short", "knee", "mid", "long")
SLEEVE_LENGTHS = ("sleeveless", "short", "elbow", "mid", "long")
SLEEVE_TYPES = ("regular", "puffed", "lantern", "flare", "raglan", "ruffle", "shirt", "drop-shoulder")
SLIM_SLEEVES = ("regular", "raglan", "shirt", "drop-shoulder")
COLLARS = ("round", "v", "u", "square", "boat", "stand", "turtle", "lapel", "tailor", "closed")
HEMS = ("flat", "curved", "ruffle", "slit", "pleated", "wavy", "flared", "drawstring")
FITS = ("slim", "regular", "loose")

LONGEST = {"upper": "knee"}  # the agnostic mask of an upper garment ends below the knee
ALLOWED_LENGTHS = {
    "tee": ("ultra-short", "short"), "shirt": ("short",), "blouse": ("ultra-short", "short"),
    "tank": ("ultra-short", "short"), "sweater": ("ultra-short", "short"), "jacket": ("ultra-short", "short"),
    "coat": ("knee",), "trousers": ("knee", "mid", "long"), "shorts": ("ultra-short", "short"),
    "skirt": ("ultra-short", "short", "knee", "mid", "long"),
    "dress": ("ultra-short", "short", "knee", "mid", "long"), "jumpsuit": ("short", "mid", "long"),
}  # fmt: skip
ALLOWED_SLEEVE_LENGTHS = {
    "tee": ("short", "elbow", "long"), "shirt": ("short", "elbow", "mid", "long"),
    "blouse": ("short", "elbow", "mid", "long"), "tank": ("sleeveless",), "sweater": ("mid", "long"),
    "jacket": ("mid", "long"), "coat": ("mid", "long"), "dress": SLEEVE_LENGTHS, "jumpsuit": SLEEVE_LENGTHS,
}  # fmt: skip
_TYPES = {
    "tee": ("regular", "raglan", "drop-shoulder"),
    "shirt": ("shirt", "regular"),
    "blouse": ("puffed", "lantern", "flare", "ruffle", "regular"),
    "tank": ("regular",),
    "sweater": ("regular", "raglan", "drop-shoulder", "lantern"),
    "jacket": ("regular", "puffed"),
    "coat": ("regular", "flare", "raglan"),
    "dress": ("regular", "puffed", "lantern", "flare", "ruffle"),
    "jumpsuit": ("regular", "puffed", "flare", "shirt"),
}  # fmt: skip
_COLLARS = {
    "tee": ("round", "v", "u", "boat"),
    "shirt": ("lapel", "stand"),
    "blouse": ("closed", "stand", "v", "square"),
    "tank": ("u", "v", "square", "round"),
    "sweater": ("turtle", "round", "v", "boat"),
    "jacket": ("tailor", "lapel", "stand"),
    "coat": ("tailor", "lapel", "stand"),
    "dress": ("round", "v", "u", "square", "boat", "closed", "turtle"),
    "jumpsuit": ("v", "lapel", "square", "tailor"),
}  # fmt: skip
_HEMS = {
    "tee": ("flat", "slit"),
    "shirt": ("curved", "flat"),
    "blouse": ("flat", "ruffle", "flared", "wavy"),
    "tank": ("flat", "curved"),
    "sweater": ("flat", "drawstring"),
    "jacket": ("flat", "flared", "drawstring"),
    "coat": ("flat", "flared"),
    "trousers": ("flat", "flared", "drawstring"),
    "shorts": ("flat", "curved", "flared"),
    "skirt": ("flat", "pleated", "ruffle", "slit", "wavy", "flared"),
    "dress": ("flat", "pleated", "ruffle", "slit", "wavy", "flared"),
    "jumpsuit": ("flat", "flared", "drawstring"),
}  # fmt: skip


@dataclass(frozen=True)
class GarmentSpec:
    """One garment. `colours` = ground, motif, accent; `period` in design units; `angle` of the pattern in degrees."""

    kind: str
    category: str
    length: str = "short"
    sleeve_length: str = "sleeveless"
    sleeve_type: str = "regular"
    collar: str = "round"
    hem: str = "flat"
    fit: str = "regular"
    pattern: str = "plain"
    colours: tuple[Colour, Colour, Colour] = ((90, 110, 150), (240, 235, 220), (200, 90, 80))
    period: float = 26.0
    angle: float = 0.0
    motif: str = "star"
    open: bool = False  # a jacket or coat that is worn open over something

    def __post_init__(self) -> None:
        for name, choices in (
            ("category", tuple(KINDS)),
            ("length", LENGTHS),
            ("sleeve_length", SLEEVE_LENGTHS),
            ("sleeve_type", SLEEVE_TYPES),
            ("collar", COLLARS),
            ("hem", HEMS),
            ("fit", FITS),
            ("pattern", PATTERNS),
            ("motif", MOTIFS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"Garment {name} is {value!r}; it must be one of: {', '.join(choices)}.")
        if self.category in LONGEST and LENGTHS.index(self.length) > LENGTHS.index(LONGEST[self.category]):
            raise ValueError(
                f"Garment length is {self.length!r}, too long for category {self.category!r}; "
                f"the longest is {LONGEST[self.category]!r}."
            )
        if self.open and self.kind not in ("jacket", "coat"):
            raise ValueError(f"Only a jacket or a coat can be worn open, not {self.kind!r}; leave `open` off.")
        if self.kind not in KINDS[self.category]:
            raise ValueError(
                f"Garment kind {self.kind!r} is not of category {self.category!r}; "
                f"that category has: {', '.join(KINDS[self.category])}."
            )

    def with_pattern(self, pattern: str) -> GarmentSpec:
        """The same garment in another pattern, the period moved into that pattern's range."""
        low, high = PERIODS[pattern]
        return replace(self, pattern=pattern, period=min(high, max(low, self.period)))


def random_garment(rng: np.random.Generator, category: str, kind: str | None = None) -> GarmentSpec:
    """A plausible garment of a category (`upper`, `lower`, `overall`, `shoe`, `bag`)."""
    if category not in KINDS:
        raise ValueError(f"Garment category is {category!r}; it must be one of: {', '.join(KINDS)}.")
    kinds = KINDS[category]
    weights = {"lower": (0.4, 0.2, 0.4), "overall": (0.75, 0.25)}.get(category)
    kind = kind or str(rng.choice(kinds, p=weights))

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    pattern = pick(PATTERNS) if category in ("upper", "lower", "overall") else "plain"
    low, high = PERIODS[pattern]
    return GarmentSpec(
        kind=kind,
        category=category,
        length=pick(ALLOWED_LENGTHS.get(kind, ("short",))),
        sleeve_length=pick(ALLOWED_SLEEVE_LENGTHS.get(kind, ("sleeveless",))),
        sleeve_type=pick(_TYPES.get(kind, ("regular",))),
        collar=pick(_COLLARS.get(kind, ("round",))),
        hem=pick(_HEMS.get(kind, ("flat",))),
        fit=pick(FITS),
        pattern=pattern,
        colours=random_colours(rng),
        period=float(round(rng.uniform(low, high), 1)),
        angle=float(pick(("0", "0", "90")) if pattern == "stripes" else 0),
        motif=pick(MOTIFS),
    )


def random_outer(rng: np.random.Generator) -> GarmentSpec:
    """A jacket or coat that is worn open over another garment."""
    kind = ("jacket", "coat")[int(rng.integers(2))]
    spec = random_garment(rng, "upper", kind)
    return replace(
        spec,
        open=True,
        fit=("regular", "loose")[int(rng.integers(2))],
        sleeve_type="regular",
        collar=("tailor", "lapel")[int(rng.integers(2))],
    )
