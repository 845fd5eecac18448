"""An outfit for the host's own edit models: reference latents on a conditioning, a labelled sheet, and words that
name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ...craft.garments import BY_ID
from ...craft.picture.contact_sheet import contact_sheet
from ...craft.picture.crop_and_stitch import resize
from ..images import checked_picture, from_uint8, to_uint8

if TYPE_CHECKING:
    from ..host_types import Vae

WAYS = ("a picture for each garment", "one labelled sheet")
MULTIPLE = 16  # edit models patch their latents by two cells of eight pixels


class References(NamedTuple):
    """pictures: what the model gets, each [1,H,W,3]. names: one for each. sheet: IMAGE. words: which picture is
    what.
    """

    pictures: list[torch.Tensor]
    names: list[str]
    sheet: torch.Tensor
    words: str


def references(outfit: Any, way: str, megapixels: float, person: torch.Tensor | None = None) -> References:
    """The outfit's pictures at about `megapixels` each, sides a multiple of 16; the person first where one is given.

    Raises ValueError for an empty outfit, or garments that differ from person to person of a batch.
    """
    if not outfit.garments:
        raise ValueError("The outfit is empty; connect at least one Garment.")
    for garment in outfit.garments:
        if len(garment.picture) > 1:
            raise ValueError(
                f"The {BY_ID[garment.category].on_sheet} has {len(garment.picture)} pictures, one for each person; edit"
                " models take one outfit: give every Garment a single picture."
            )
    garments = [(BY_ID[g.category].on_sheet, checked_picture(g.picture, "garment")) for g in outfit.garments]
    arrays = [to_uint8(picture)[0] for _, picture in garments]
    sheet = from_uint8(np.array(contact_sheet(arrays, [name for name, _ in garments])))
    shown = garments if way == WAYS[0] else [("outfit", sheet)]
    if person is not None:
        if len(person) > 1:
            raise ValueError(
                f"{len(person)} people are connected; the references of an edit model belong to one. Give one picture."
            )
        shown = [("person", checked_picture(person, "person")), *shown]
    names = [name for name, _ in shown]
    words = "; ".join(f"image {i + 1}: {name}" for i, name in enumerate(names))
    return References([fitted(picture, megapixels) for _, picture in shown], names, sheet, words)


def fitted(picture: torch.Tensor, megapixels: float) -> torch.Tensor:
    """[1,H,W,3] scaled to about that many megapixels in its own proportions, sides multiples of 16. 0: only the
    multiple.
    """
    height, width = picture.shape[1:3]
    scale = np.sqrt(megapixels * 1e6 / (width * height)) if megapixels > 0 else 1.0
    size = tuple(max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in (width, height))
    return resize(picture[0], size)[None]


def with_latents(conditioning: list, pictures: list[torch.Tensor], vae: Vae) -> list:
    """The conditioning with each picture's latent as a further reference, in order, the way the host's own nodes do
    it.
    """
    import node_helpers

    latents = [vae.encode(picture) for picture in pictures]
    return node_helpers.conditioning_set_values(conditioning, {"reference_latents": latents}, append=True)
