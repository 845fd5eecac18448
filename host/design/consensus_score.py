"""Consensus Score: part crops against attributes, and the whole against all of them, with any encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...models.equifashion.consensus import Consensus, consensus

if TYPE_CHECKING:
    from ..wardrobe.fashion_encoder import FashionEncoder

SMALLEST_PART = 0.002  # of the picture's area
THIRDS = ("top", "middle", "bottom")


def score(
    images: torch.Tensor, encoder: FashionEncoder, attributes: Sequence[str], references: torch.Tensor | None = None,
    parts: Any = None, masks: torch.Tensor | None = None,
) -> tuple[list[Consensus], list[list[str]], list[str]]:  # fmt: skip
    """(a Consensus for each picture, the names of its parts, the names of the attributes).

    attributes are words, or, for encoders that only see, `references` are pictures in their place. Parts: of `parts`
    (BodyParts of Detect Body), of `masks` [P, H, W], the same for every picture, else the upper, middle and lower
    third of the picture.
    Raises ValueError for words with an encoder that cannot read, and where nothing is asked for.
    """
    if references is not None and attributes:
        raise ValueError("Give attributes as words or as reference pictures, not both.")
    if references is not None:
        asked, names = encoder.encode_image(references[..., :3]), [f"reference {i + 1}" for i in range(len(references))]
    elif attributes:
        asked, names = encoder.encode_text(list(attributes)), list(attributes)
    else:
        raise ValueError("Nothing is asked for: write attributes, one a line, or connect reference pictures.")
    found, part_names = [], []
    for i, image in enumerate(images[..., :3]):
        crops, labels = _crops(image, _masks_of(i, len(images), tuple(image.shape[:2]), parts, masks))
        vectors = encoder.encode_image([image, *crops])
        found.append(consensus(vectors[1:], vectors[0], asked))
        part_names.append(labels)
    return found, part_names, names


def table(
    found: Sequence[Consensus], part_names: Sequence[Sequence[str]], names: Sequence[str], encoder: str
) -> tuple[str, list[int]]:
    """(a table of the pictures from best to worst, their indices in that order); equal scores keep their order."""
    order = sorted(range(len(found)), key=lambda i: -found[i].total)
    lines = [f"consensus of {len(found)} pictures with {encoder}", "rank  draft  total   matched  whole   parts"]
    for rank, i in enumerate(order, 1):
        one = found[i]
        pairs = "; ".join(f"{names[attribute]} = {part_names[i][part]}" for part, attribute in one.pairs)
        lines.append(f"{rank:>4}  {i + 1:>5}  {one.total:.4f}  {one.matched:.4f}   {one.whole:.4f}  {pairs}")
    return "\n".join(lines), order


def _masks_of(i: int, count: int, size: tuple[int, int], parts, masks) -> list[tuple[str, np.ndarray]]:
    """[(name, bool [H, W])] for picture i."""
    if parts is not None and masks is not None:
        raise ValueError("Parts come from Detect Body or from masks; connect one of the two.")
    if parts is not None:
        labels = parts.garments if parts.garments is not None else parts.parts
        if len(labels) != count:
            raise ValueError(
                f"There are {len(labels)} part maps for {count} pictures; run Detect Body on these pictures."
            )
        whole = labels[i].cpu().numpy()
        return [(f"part {label}", _resized(whole == label, size)) for label in np.unique(whole) if label > 0]
    if masks is not None:
        return [(f"mask {n + 1}", _resized(mask.cpu().numpy() >= 0.5, size)) for n, mask in enumerate(masks)]
    borders = [round(size[0] * k / 3) for k in range(4)]
    thirds = []
    for name, top, bottom in zip(THIRDS, borders, borders[1:]):
        mask = np.zeros(size, bool)
        mask[top:bottom] = True
        thirds.append((name, mask))
    return thirds


def _crops(image: torch.Tensor, named: list[tuple[str, np.ndarray]]) -> tuple[list[torch.Tensor], list[str]]:
    """Every part on white, cut to its box. Parts too small to be seen are left out."""
    crops, names = [], []
    for name, mask in named:
        if mask.mean() < SMALLEST_PART:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        inside = torch.from_numpy(mask[box].copy()).to(image.device)[..., None]
        crops.append(torch.where(inside, image[box], torch.ones_like(image[box])))
        names.append(name)
    if not crops:
        raise ValueError("No part is large enough to be compared; check the masks.")
    return crops, names


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if mask.shape == size:
        return mask
    rows = (np.arange(size[0]) * mask.shape[0]) // size[0]
    columns = (np.arange(size[1]) * mask.shape[1]) // size[1]
    return mask[rows][:, columns]
