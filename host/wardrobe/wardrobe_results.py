"""What a search hands on: pictures in one batch, tables, a contact sheet shown in the node, and one picked hit."""

from __future__ import annotations

import io
import logging

import numpy as np
import torch
from PIL import Image

from ...craft.picture.contact_sheet import contact_sheet
from ...craft.wardrobe.wardrobe_store import Item
from ...craft.whole_files import NotWritten
from .. import images
from .index_and_search import Found, as_image, on_white, picture_of

LOG = logging.getLogger(__name__)

PICTURE_SIDE, SHEET_SIDE = 512, 192
LARGEST_THUMBNAIL = 1024  # pixels a side; the pack's own have 256


def outputs(folder: str, found: list[Found]) -> tuple[dict, tuple]:
    """(ui, (pictures, scores, paths, captions, contact sheet)) of a search. Raises ValueError when nothing was
    found.
    """
    if not found:
        raise ValueError(
            "The search found nothing: the filter leaves no garment, or all that is left are copies of the picture"
            " itself."
        )
    thumbnails = [_thumbnail(one.item) for one in found]
    pictures = torch.stack([as_image(on_white(picture_of(folder, one.item), *_shape(thumbnails))) for one in found])
    labels = [f"{number} · {one.hit.score:.3f} · {one.item.category or '?'}" for number, one in enumerate(found, 1)]
    small = [np.asarray(on_white(one, SHEET_SIDE, SHEET_SIDE)) for one in thumbnails]
    sheet = images.from_uint8(contact_sheet(small, labels).copy())
    lines = (
        "\n".join(_scores(one) for one in found),
        "\n".join(one.item.path for one in found),
        "\n".join(" ".join(one.item.caption.split()) for one in found),
    )
    return {"atelier_hits": _hits_for_the_page(found, small)}, (pictures, *lines, sheet)


def _thumbnail(item: Item) -> Image.Image:
    """The small picture that the index holds. Raises ValueError where it holds none that can be read."""
    try:
        small = Image.open(io.BytesIO(item.thumbnail))
        if max(small.size) > LARGEST_THUMBNAIL:
            raise ValueError(f"it has {small.width} x {small.height} pixels")
        return small.convert("RGB")
    except (TypeError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"The index has no readable small picture of {item.path} ({str(error)[:80]}): delete the folder "
            ".atelier-wardrobe in the wardrobe and index again."
        ) from error


def _hits_for_the_page(found: list[Found], small: list[np.ndarray]) -> list[dict]:
    """One entry a hit: its thumbnail in the host's temp folder, and what the page shows with it. `number` is Pick's.

    Where that folder cannot be written the search goes on without a grid, and a warning says why.
    """
    try:
        files = images.preview(images.from_uint8(np.stack(small)), "wardrobe")
    except NotWritten as problem:
        LOG.warning("Search Wardrobe shows no hits in the node: %s", problem)
        return []
    return [
        {**file, "number": number, "score": one.hit.score, "path": one.item.path, "category": one.item.category,
         "caption": one.item.caption}
        for number, (file, one) in enumerate(zip(files, found, strict=True), 1)
    ]  # fmt: skip


def _shape(pictures: list[Image.Image]) -> tuple[int, int]:
    """One size for all: the longer side PICTURE_SIDE, the middle one of their shapes, whole multiples of 8."""
    ratio = float(np.median([picture.width / picture.height for picture in pictures]))
    width, height = (PICTURE_SIDE, PICTURE_SIDE / ratio) if ratio >= 1 else (PICTURE_SIDE * ratio, PICTURE_SIDE)
    return max(64, round(width / 8) * 8), max(64, round(height / 8) * 8)


def _scores(one: Found) -> str:
    parts = [f"{one.hit.score:.4f}"]
    for name, value in (("picture", one.hit.picture_score), ("words", one.hit.text_score)):
        if value is not None:
            parts.append(f"{name} {value:.4f}")
    return ", ".join(parts)


def pick(folder: str, items: tuple[Item, ...], number: int, if_unknown: str) -> tuple:
    """(picture [1, H, W, 3], category, caption, path) of hit `number`, counted from 1."""
    if not 1 <= number <= len(items):
        raise ValueError(f"There is no hit {number}: the search found {len(items)}.")
    item = items[number - 1]
    category = item.category or if_unknown
    if category == "stop":
        raise ValueError(
            f"The wardrobe does not know the category of {item.path}: choose it in 'if_unknown', or put the picture"
            " into a folder named for it (shirts, skirts, dresses, shoes, bags) and index again."
        )
    return as_image(picture_of(folder, item))[None], category, item.caption, item.path
