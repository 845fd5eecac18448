"""Indexing and searching a wardrobe with an encoder: the host's progress bar and Cancel around craft's plain work."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from PIL import Image

from ...craft.picture import palette
from ...craft.picture.picture_files import UnreadablePicture, read_picture
from ...craft.regular_files import LeadsOut, inside
from ...craft.wardrobe import composed_query, garment_attributes, wardrobe_index, wardrobe_search
from ...craft.wardrobe.store_errors import StoreFailed
from ...craft.wardrobe.wardrobe_store import EncoderIdentity, Item, WardrobeStore
from ...craft.whole_files import save_picture, write_text
from ..images import to_uint8
from .fashion_encoder import FashionEncoder

if TYPE_CHECKING:
    from ...craft.wardrobe.wardrobe_search import VectorMap

# A colour of the palette becomes a searchable attribute from this share of the garment on.
COLOUR_SHARE = 0.15
# Pictures encoded and stored together: what a kill or Cancel can cost.
BATCH = 16


def index(
    folder: str, encoder: FashionEncoder, *, describe: bool, confidence: float, start_over: bool
) -> wardrobe_index.Report:
    """Bring the folder's index up to date; returns wardrobe_index.Report. Shows progress with the file at work."""
    bar = comfy.utils.ProgressBar(1)

    def progress(done: int, total: int, path: str) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, max(total, 1))

    def encode(pictures: list[Image.Image]) -> np.ndarray:
        return encoder.encode_image([as_image(picture) for picture in pictures]).numpy()

    return wardrobe_index.update_index(
        folder, encoder.identity, encode, batch=BATCH, progress=progress, start_over=start_over,
        describe=_describer(folder, encoder, confidence) if describe else None,
    )  # fmt: skip


def _describer(folder: str, encoder: FashionEncoder, confidence: float):
    sentences: list[torch.Tensor] = []

    def describe(pictures: list[Image.Image], vectors: np.ndarray):
        if encoder.speaks and not encoder.reads and not sentences:
            sentences.append(garment_attributes.prompt_vectors(encoder.encode_text))
        said = [((), "")] * len(pictures)
        if encoder.reads:
            said = encoder.read_attributes([as_image(picture) for picture in pictures], confidence)
        elif sentences:
            said = garment_attributes.zero_shot(
                torch.from_numpy(vectors), sentences[0], scale=encoder.logit_scale, confidence=confidence
            )
        return [((*words, *_colours(picture)), category) for picture, (words, category) in zip(pictures, said)]

    return describe


def _colours(picture: Image.Image) -> tuple[tuple[str, str, float], ...]:
    small = picture.copy()
    small.thumbnail((256, 256))
    swatches = palette.palette(np.asarray(small))
    return tuple(("colour", s.name, round(min(s.share, 1.0), 4)) for s in swatches if s.share >= COLOUR_SHARE)


def keep_pictures(folder: str, images: torch.Tensor, captions: Sequence[str]) -> list[str]:
    """Save [N, H, W, C] into the folder as PNG files named by content; the same picture is saved once.

    Raises NotWritten (a ValueError) with the folder.
    """
    names = []
    for number, image in enumerate(images):
        array = to_uint8(image[..., :3])
        name = hashlib.blake2b(array.tobytes() + repr(array.shape).encode(), digest_size=12).hexdigest()
        path = Path(folder) / f"{name}.png"
        if not path.exists():
            save_picture(path, Image.fromarray(array))
        caption = captions[number].strip() if number < len(captions) else ""
        if caption:
            write_text(path.with_suffix(".txt"), caption)
        names.append(path.name)
    return names


@dataclass(frozen=True)
class Found:
    """One hit with what the store knows of it."""

    hit: wardrobe_search.Hit
    item: Item


def search(
    folder: str,
    encoder: FashionEncoder,
    k: int,
    *,
    text: str = "",
    picture: torch.Tensor | None = None,
    method: str = "centred slerp",
    weight: float = 0.4,
    present: str = "",
    unwanted: str = "",
    unwanted_strength: float = 0.5,
    filters: str = "",
    spread: float = 0.0,
    hide_same: bool = True,
) -> list[Found]:
    """The k best items for words, a picture [H, W, C], or a picture with the change that `text` wishes."""
    wanted, not_wanted = wardrobe_search.parse_filter(filters)
    if not text.strip() and picture is None and not wanted and not not_wanted:
        raise ValueError("Nothing to search for: write a text, connect a picture, or give a filter.")
    if unwanted.strip() and not text.strip() and picture is None:
        raise ValueError(
            "A filter alone lists what fits and ranks nothing, so 'unwanted' has no effect: write a text or connect a "
            "picture, or leave 'unwanted' empty."
        )
    with WardrobeStore(folder) as store:
        identity = store.encoder()
        require_same(identity, encoder, folder)
        vectors = wardrobe_search.open_vectors(store)
        allowed = wardrobe_search.filtered_ids(store, wanted, not_wanted, vectors.ids)
        if not text.strip() and picture is None:
            return _filtered_only(store, vectors, allowed, k)
        image = None if picture is None else encoder.encode_image(picture[None])[0]
        query = make_query(store, encoder, vectors, text.strip(), picture, image, method, weight, present,
                       unwanted.strip(),
                       unwanted_strength)  # fmt: skip
        hide = image.reshape(-1, encoder.dim) if image is not None and hide_same else None
        hits = wardrobe_search.search(vectors, query, k, allowed=allowed, hide_like=hide, spread=spread)
        return [Found(hit, store.item(hit.id)) for hit in hits]


def require_same(identity: EncoderIdentity | None, encoder: FashionEncoder, folder: str) -> None:
    if identity != encoder.identity:
        name = identity.name if identity else "no encoder"
        raise ValueError(
            f"The wardrobe in {os.path.basename(folder)} was indexed with {name!r}, the search has {encoder.name!r}: "
            "index it again with 'start over', or load the encoder that built it."
        )


def _filtered_only(store: WardrobeStore, vectors, allowed: set[int], k: int) -> list[Found]:
    rows = [row for row, number in enumerate(vectors.ids.tolist()) if number in allowed][:k]
    hits = [wardrobe_search.Hit(row, int(vectors.ids[row]), 0.0, None, None) for row in rows]
    return [Found(hit, store.item(hit.id)) for hit in hits]


def make_query(
    store: WardrobeStore,
    encoder: FashionEncoder,
    vectors: VectorMap,
    text: str,
    picture: Image | None,
    image: torch.Tensor | None,
    method: str,
    weight: float,
    present: str,
    unwanted: str,
    strength: float,
) -> composed_query.Query:
    against = encoder.encode_text([unwanted])[0] if unwanted else None
    if image is None:
        return composed_query.by_text(encoder.encode_text([text])[0], against, strength)
    if not text:
        return composed_query.by_picture(image, against, strength)
    if method == "q-former":
        return composed_query.by_fused(encoder.fuse(picture[None], [text])[0], against, strength)
    return composed_query.by_picture_and_change(
        image, encoder.encode_text([text])[0], method=method, weight=weight, unwanted=against, strength=strength,
        picture_mean=vectors.mean, text_mean=_text_mean(store, encoder),
        present=encoder.encode_text([present])[0] if present.strip() else None,
    )  # fmt: skip


def _text_mean(store: WardrobeStore, encoder: FashionEncoder) -> torch.Tensor:
    """The mean of the garment vocabulary's sentences: where this encoder's words lie. Kept in the store."""
    return _kept(store, f"text mean {encoder.hash}", encoder.dim,
                 lambda: garment_attributes.prompt_vectors(encoder.encode_text).mean(0))  # fmt: skip


def _kept(store: WardrobeStore, name: str, size: int, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    """`size` float32 numbers that the store keeps under a name, computed where it has none."""
    stored = store.fact(name)
    if not isinstance(stored, bytes) or len(stored) != 4 * size:
        stored = compute().float().numpy().tobytes()
        with contextlib.suppress(StoreFailed):  # kept to be quicker next time; the search goes on without
            store.set_fact(name, stored)
    return torch.from_numpy(np.frombuffer(stored, dtype=np.float32).copy())


def picture_of(folder: str, item: Item) -> Image.Image:
    """The item's picture at full size. Raises ValueError when its file is gone or broken."""
    try:
        return read_picture(inside(folder, item.path))
    except (UnreadablePicture, LeadsOut, OSError) as error:
        raise ValueError(
            f"The picture {item.path} cannot be read any more ({error}): index the wardrobe again."
        ) from error


def as_image(picture: Image.Image) -> torch.Tensor:
    """PIL RGB -> float32 [H, W, 3] in 0..1."""
    return torch.from_numpy(np.asarray(picture, dtype=np.uint8).copy()).float() / 255.0


def on_white(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Fitted into width x height, centred on white: pictures of any shape in one batch."""
    small = picture.copy()
    scale = min(width / small.width, height / small.height)
    small = small.resize(
        (max(1, round(small.width * scale)), max(1, round(small.height * scale))), Image.Resampling.LANCZOS
    )
    ground = Image.new("RGB", (width, height), "white")
    ground.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return ground
