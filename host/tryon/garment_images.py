"""A garment's IMAGE and MASK from the host, checked and put on white."""

from __future__ import annotations

import torch

from ...craft.picture.garment_picture import content_key, on_white
from ..images import checked_mask, checked_picture


def prepared(
    image: torch.Tensor, mask: torch.Tensor | None, inverted: bool, category: str, fit: str, size: tuple[int, int]
) -> tuple[torch.Tensor, str]:
    """(picture [B,H,W,3] in 0..1 with the background white, content key). inverted: the mask marks the background.

    An RGBA picture brings its own mask. Raises ValueError for pictures that cannot be used or a mask without garment.
    """
    picture = checked_picture(image, "garment", (3, 4)).clamp(0, 1)
    if mask is not None and inverted and not mask.any():
        mask = None  # Load Image's mask of a file without transparency: nothing is background
    shown = picture[..., 3] if picture.shape[-1] == 4 else None
    if mask is not None:
        shown = checked_mask(mask, "garment's mask", picture).clamp(0, 1)
        shown = 1 - shown if inverted else shown
    picture = picture[..., :3]
    if shown is not None:
        if (shown.amax(dim=(1, 2)) < 0.5).any():
            raise ValueError(
                "The garment's mask leaves nothing of the garment; if it marks the background (Load Image's mask "
                "does), "
                "set mask_marks to background."
            )
        picture = on_white(picture, shown)
    return picture, content_key(picture, category, fit, size)
