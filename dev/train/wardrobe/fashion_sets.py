"""Fashion-IQ and FashionGen on disk as batches of the wardrobe recipe. Layouts as published; nothing is downloaded.

The recipe's words are those of models/studio/wardrobe/wardrobe_words.py: of a sentence only the phrases in that list
are learned, and what has none is left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ....models.studio.wardrobe.wardrobe_network import padded
from ....models.studio.wardrobe.wardrobe_picture import framed
from ....models.studio.wardrobe.wardrobe_words import DEC, SEP, says_something, token_ids
from .wardrobe_batch import Batch, seen_anew

KINDS = ("dress", "shirt", "toptee")
SPLITS = ("train", "val")
H5_FILES = {"train": "fashiongen_256_256_train.h5", "val": "fashiongen_256_256_validation.h5"}


@dataclass(frozen=True)
class Triplet:
    """A picture, what should be different (two sentences), and the picture that is meant."""

    candidate: Path
    target: Path
    sentences: tuple[str, ...]


def read_fashion_iq(folder: Path, kind: str, split: str = "train") -> list[Triplet]:
    """captions/cap.{kind}.{split}.json with images/<id>.png or .jpg. Raises ValueError for another layout."""
    if kind not in KINDS or split not in SPLITS:
        raise ValueError(f"Fashion-IQ has {', '.join(KINDS)} in {' and '.join(SPLITS)}; asked was {kind!r}, {split!r}.")
    path = Path(folder) / "captions" / f"cap.{kind}.{split}.json"
    rows = _json(path, "Fashion-IQ's captions")
    triplets = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not {"candidate", "target", "captions"} <= set(row):
            raise ValueError(
                f"{path.name}: entry {number} lacks candidate, target or captions; is it Fashion-IQ's own file?"
            )
        candidate, target = (_picture(Path(folder) / "images", row[name]) for name in ("candidate", "target"))
        triplets.append(Triplet(candidate, target, tuple(row["captions"])))
    if not triplets:
        raise ValueError(f"{path} is empty: there is nothing to train on.")
    return triplets


def _picture(folder: Path, name: str) -> Path:
    for end in (".png", ".jpg", ".jpeg"):
        if (folder / f"{name}{end}").exists():
            return folder / f"{name}{end}"
    raise ValueError(f"{folder} has no picture {name}.png or {name}.jpg, which the captions name.")


def _json(path: Path, what: str):
    if not path.exists():
        raise ValueError(f"{path} is missing: put {what} there.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON ({error}); get it anew.") from error


class FashionIQBatches(torch.utils.data.IterableDataset):
    """Endless batches of Fashion-IQ's triplets: the sentences joined in either order or one alone, as
    UniFashion does.
    """

    def __init__(self, triplets: Sequence[Triplet], count: int, seed: int = 0):
        self.triplets = [t for t in triplets if says_something(" and ".join(t.sentences))]
        self.left_out, self.count, self.seed = len(triplets) - len(self.triplets), count, seed
        if len(self.triplets) < 2:
            raise ValueError(
                f"Of {len(triplets)} triplets {len(self.triplets)} say a word of the recipe's list; two are needed."
            )

    def __iter__(self) -> Iterator[Batch]:
        rng, generator = np.random.default_rng([self.seed, 63]), torch.Generator().manual_seed(self.seed)
        while True:
            rows = rng.permutation(len(self.triplets))[: self.count]
            chosen = [self.triplets[int(row)] for row in rows]
            files = [t.candidate for t in chosen] + [t.target for t in chosen]
            every = torch.arange(len(chosen))
            yield Batch(
                pictures=seen_anew(load_pictures([open_picture(file) for file in files]), generator),
                captioned=every[:0], captions=padded([[DEC]])[:0], written=padded([[DEC]])[:0],
                fits=torch.zeros(0, 0, dtype=torch.bool), before=every, after=every + len(chosen),
                wishes=padded([token_ids(wish(t.sentences, rng)) for t in chosen]),
                same=torch.tensor([[a == b for b in files] for a in files]),
            )  # fmt: skip


def wish(sentences: Sequence[str], rng: np.random.Generator) -> str:
    """One of {a and b, b and a, a, b}, of those that say something known."""
    forms = [" and ".join(sentences), " and ".join(reversed(sentences)), *sentences]
    forms = [form for form in forms if says_something(form)]
    return forms[int(rng.integers(len(forms)))]


@dataclass(frozen=True)
class Described:
    """Pictures with a caption each. `pictures`: files, or the rows of an open HDF5 data set."""

    pictures: Sequence
    captions: tuple[str, ...]


def read_fashiongen(folder: Path, split: str = "train") -> Described:
    """The HDF5 file of FashionGen (input_image, input_description), or UniFashion's annotation_{split}.jsonl with
    image/ or image_val/. Raises ValueError for another layout."""
    if split not in SPLITS:
        raise ValueError(f"FashionGen has {' and '.join(SPLITS)}; asked was {split!r}.")
    folder = Path(folder)
    if (folder / H5_FILES[split]).exists():
        return _from_hdf5(folder / H5_FILES[split])
    lines = folder / f"annotation_{split}.jsonl"
    if not lines.exists():
        raise ValueError(
            f"{folder} has neither {H5_FILES[split]} nor annotation_{split}.jsonl: it is no FashionGen folder."
        )
    pictures = folder / ("image" if split == "train" else "image_val")
    files, captions = [], []
    for number, line in enumerate(lines.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            name, caption = row["image"], row["caption"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f'{lines.name}, line {number}: expected {{"image": ..., "caption": ...}}.') from error
        file = pictures / Path(name).name
        if not file.exists():
            raise ValueError(f"{lines.name}, line {number}: {pictures.name}/{file.name} is missing.")
        files.append(file)
        captions.append(caption)
    return Described(files, tuple(captions))


def _from_hdf5(path: Path) -> Described:
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"Reading {path.name} needs the package h5py: pip install h5py.") from error
    file = h5py.File(path, "r")
    lacking = {"input_image", "input_description"} - set(file)
    if lacking:
        raise ValueError(f"{path.name} lacks {', '.join(sorted(lacking))}; it has {', '.join(sorted(file)[:6])}.")
    captions = tuple(row[0].decode("latin-1") for row in file["input_description"][:])
    return Described(file["input_image"], captions)


class FashionGenBatches(torch.utils.data.IterableDataset):
    """Endless batches of FashionGen's pictures with what their descriptions say in the recipe's words."""

    def __init__(self, described: Described, count: int, seed: int = 0):
        self.described, self.count, self.seed = described, count, seed
        self.rows = [row for row, caption in enumerate(described.captions) if says_something(caption)]
        self.left_out = len(described.captions) - len(self.rows)
        if len(self.rows) < 2:
            raise ValueError(
                f"Of {len(described.captions)} captions {len(self.rows)} say a word of the recipe's list; two are"
                f" needed."
            )

    def __iter__(self) -> Iterator[Batch]:
        rng, generator = np.random.default_rng([self.seed, 64]), torch.Generator().manual_seed(self.seed)
        while True:
            rows = [self.rows[int(row)] for row in rng.permutation(len(self.rows))[: self.count]]
            ids = [token_ids(self.described.captions[row]) for row in rows]
            same = torch.tensor([[set(a) >= set(b) for b in ids] for a in ids])
            every = torch.arange(len(rows))
            yield Batch(
                pictures=seen_anew(load_pictures([open_picture(self.described.pictures[row]) for row in rows]),
                generator),
                captioned=every, captions=padded(ids), written=padded([[DEC, *row[1:], SEP] for row in ids]),
                fits=same, before=every[:0], after=every[:0], wishes=padded([[DEC]])[:0], same=same & same.T,
            )  # fmt: skip


def open_picture(source) -> np.ndarray:
    """A file's picture, or a row of HDF5, uint8 [H,W,3]."""
    return np.asarray(Image.open(source).convert("RGB")) if isinstance(source, Path) else np.asarray(source)


def load_pictures(pictures: Sequence[np.ndarray]) -> Tensor:
    """float [N,3,SIDE,SIDE] in 0..1 as the network sees them."""
    return torch.from_numpy(np.stack([framed(one) for one in pictures])).permute(0, 3, 1, 2).float() / 255
