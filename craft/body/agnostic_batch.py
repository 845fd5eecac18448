"""Agnostic masks for a batch of pictures, in the body's own way or FastFit's published one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..counts import common_count, own
from .agnostic_mask import agnostic_mask
from .body_parts import Body
from .found_body import OTHERS, choose_labelled
from .labels import atr_to_lip, parts_to_densepose
from .published_masker import published_mask


@dataclass(frozen=True)
class AgnosticChoice:
    """categories, protect: see `agnostic_mask`. margin in torso lengths. published: FastFit's masker instead."""

    categories: tuple[str, ...]
    protect: tuple[str, ...]
    margin: float = 0.0
    published: bool = False
    person: int = 0


def agnostic_masks(
    choice: AgnosticChoice,
    size: tuple[int, int],
    frames: list[np.ndarray],
    parts: np.ndarray | None = None,
    garments: np.ndarray | None = None,
    count: int = 1,
    owners: list[np.ndarray] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """bool [B,H,W] and sentences about what was guessed. size: (width, height); frames: people for each picture;
    count: how many pictures there are. One of each serves all; raises ValueError for other numbers.
    owners: joints [18,3] of those whose labels the maps are; those of somebody else are not used.
    """
    width, height = size
    count = common_count(pictures=count, poses=len(frames), label_maps=None if parts is None else len(parts))
    masks, notes = [], []
    for index in range(count):
        own_parts, own_garments = (None if maps is None else own(maps, index) for maps in (parts, garments))
        joints, theirs = choose_labelled(
            own(frames, index), choice.person, None if owners is None else own(owners, index)
        )
        if choice.published:
            if not theirs:
                raise ValueError(
                    "The published mask follows label maps, and they are of another person than the chosen one; choose"
                    " the same person in Detect Body."
                )
            mask, said = (
                published_from_maps(own_parts, own_garments, choice.categories),
                ["published mask: DensePose and LIP labels were derived from the label maps"],
            )
        else:
            if not theirs:
                own_parts = own_garments = None
            body = Body(joints, width, height, own_parts, own_garments)
            mask, said = agnostic_mask(body, choice.categories, choice.protect, choice.margin), body.notes
            if own_garments is None:
                said = [*said, "no garment labels: a very wide old garment may stick out of the mask"]
            if not theirs:
                said = [*said, OTHERS]
        masks.append(mask)
        notes += said if count == 1 else [f"picture {index + 1}: {note}" for note in said]
    return np.stack(masks), list(dict.fromkeys(notes))


def published_from_maps(
    parts: np.ndarray | None, garments: np.ndarray | None, categories: tuple[str, ...]
) -> np.ndarray:
    """FastFit's mask from our two label maps; one category uses its rule, several the multi-reference rule.

    Raises ValueError without label maps. Sides that 4 does not divide are padded with background and cut again.
    """
    if parts is None or garments is None:
        raise ValueError(
            "The published mask needs label maps; connect parts with garment labels from Detect Body, or choose 'from"
            " the body'."
        )
    height, width = parts.shape
    parts, garments = (np.pad(m, ((0, -height % 4), (0, -width % 4))) for m in (parts, garments))
    single = len(categories) == 1 and categories[0] in ("upper", "lower", "overall")
    mode = categories[0] if single else "multi_ref"
    mask = published_mask(parts_to_densepose(parts), atr_to_lip(garments), garments, mode)[:height, :width]
    if not mask.any():
        raise ValueError("The published mask is empty: the label maps hold no body.")
    return mask
