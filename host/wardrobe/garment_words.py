"""Garment Attributes: zero-shot words, colours from pixels, and a strip of the palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...craft.picture.palette import Swatch, palette
from ...craft.prompt.vocabulary import ATTRIBUTES
from ...craft.wardrobe import garment_attributes
from ..images import checked_mask, checked_picture, from_uint8, to_uint8

if TYPE_CHECKING:
    from ..host_types import Image, Mask
    from .fashion_encoder import FashionEncoder

# A colour is part of the concept ("red and white dress") from this share on.
MAIN_SHARE = 0.3


def describe(
    image: Image, mask: Mask | None, encoder: FashionEncoder | None, confidence: float, temperature: float, colours: int
) -> tuple[str, tuple[str, ...], Image]:
    """(table, (concept, attributes, category), palette IMAGE) of the first picture."""
    picture = checked_picture(image, "garment", (3, 4))[:1, ..., :3]
    marked = None if mask is None else checked_mask(mask[:1], "mask", picture)[0].numpy()
    swatches = palette(to_uint8(picture)[0], colours, marked)
    said, category = (), ""
    if encoder is not None and encoder.reads:
        said, category = encoder.read_attributes(list(picture), confidence, temperature)[0]
    elif encoder is not None:
        sentences = garment_attributes.prompt_vectors(encoder.encode_text)
        scale = encoder.logit_scale / temperature
        said, category = garment_attributes.zero_shot(
            encoder.encode_image(picture), sentences, scale=scale, confidence=confidence
        )[0]
    lines = [f"{kind}: {value} ({chance:.0%})" for kind, value, chance in said]
    lines += [f"colour: {s.name} ({s.share:.0%} of the garment)" for s in swatches]
    if encoder is not None and not said:
        lines.insert(0, f"Nothing is at least {confidence:.0%} sure.")
    values = (_concept(said, swatches), garment_attributes.ordered_text(said, ATTRIBUTES), category)
    return "\n".join(lines), values, from_uint8(_strip(swatches))


def _concept(said, swatches: list[Swatch]) -> str:
    by_kind = {kind: value for kind, value, _ in said}
    main = " and ".join(s.name for s in swatches if s.share >= MAIN_SHARE)
    words = [main, by_kind.get("pattern", ""), by_kind.get("material", ""), by_kind.get("type", "")]
    return " ".join(word for word in words if word)


def _strip(swatches: list[Swatch], width: int = 512, height: int = 96) -> np.ndarray:
    strip = np.full((height, width, 3), 255, np.uint8)
    total, left = sum(s.share for s in swatches) or 1.0, 0.0
    for swatch in swatches:
        right = left + swatch.share / total
        strip[:, round(left * width) : round(right * width)] = swatch.rgb
        left = right
    return strip
