"""Atelier's own socket types: frozen dataclasses that travel between nodes.

Whatever the host has a type for (IMAGE, MASK, LATENT, CONDITIONING, MODEL, VAE, SIGMAS, SAMPLER) is the host's own.
A found body (ATELIER_PARTS) is `BodyParts` of craft/body/found_body.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..craft.picture.crop_and_stitch import CropPlan


@dataclass(frozen=True, eq=False)
class Garment:
    """One garment's picture and how it is encoded.

    picture: [B,H,W,3] in 0..1, on white where a mask was given; B > 1: picture i is worn by person i of a batch.
    size: (width, height) of its reference picture, 0 for what the model was trained on. content: hash of all of it.
    """

    picture: torch.Tensor
    category: str
    fit: str
    size: tuple[int, int]
    content: str


@dataclass(frozen=True, eq=False)
class Outfit:
    """Garments worn together, in the order they were connected."""

    garments: tuple[Garment, ...] = ()


@dataclass(frozen=True, eq=False)
class Stitch:
    """What Composite needs to put crops back: originals [B,H,W,3], the crop, and the feathered mask [B,H,W]."""

    people: torch.Tensor
    plan: CropPlan
    mask: torch.Tensor


@dataclass(frozen=True, eq=False)
class Wardrobe:
    """An indexed folder of garment pictures: its full path, the FashionEncoder that indexed it, the index's version."""

    folder: str
    encoder: object
    version: str
    count: int


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found, best first: craft.wardrobe_store.Item of the wardrobe in `folder`."""

    folder: str
    items: tuple
