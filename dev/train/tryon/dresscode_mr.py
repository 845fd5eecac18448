"""DressCode-MR on disk: `train.jsonl` with a person and up to five garments a line, annotations beside the person.

Layout (FastFit's data set): {"person": "person/x.jpg", "upper": "...", "lower": ..., "overall": ..., "shoe": ...,
"bag": ...}, absent or empty = not worn; `annotations/{dwpose,densepose,lip,atr}/<stem>.png` where the path says
`person`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ....craft.body.published_masker import published_mask
from .pairs import CLASSES, Batch

PERSON_SIZE, GARMENT_SIZE = (768, 1024), (384, 512)
MAPS = ("dwpose", "densepose", "lip", "atr")


def read_records(root: Path, split: str = "train") -> list[dict]:
    """The lines of a list. Raises FileNotFoundError or ValueError naming the file and the line."""
    path = root / f"{split}.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; a DressCode-MR folder holds {split}.jsonl.")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        record = json.loads(line)
        if not record.get("person") or not any(record.get(name) for name in CLASSES):
            raise ValueError(f'{path.name} line {number} needs "person" and at least one of {", ".join(CLASSES)}.')
        records.append(record)
    return records


def annotation(person: str, kind: str) -> str:
    """`a/person/x.jpg` -> `a/annotations/<kind>/x.png`."""
    parts = Path(person).with_suffix(".png").parts
    at = len(parts) - 1 - parts[::-1].index("person")
    return Path(*parts[:at], "annotations", kind, *parts[at + 1 :]).as_posix()


def sample(root: Path, record: dict, size=PERSON_SIZE, garment_size=GARMENT_SIZE) -> dict[str, np.ndarray]:
    """One row, as `pairs.draw` gives it; nothing is known of where a cell lies in its garment (owner -1)."""
    person = _picture(root, record["person"], size)
    maps = {kind: _open(root, annotation(record["person"], kind)) for kind in MAPS}
    labels = {kind: np.asarray(maps[kind].resize(size, Image.NEAREST)) for kind in MAPS[1:]}
    mask = published_mask(labels["densepose"], labels["lip"], labels["atr"], "multi_ref")
    worn = [name for name in CLASSES if record.get(name)]
    return {
        "person": person,
        "mask": mask[None].astype(np.uint8),
        "pose": np.asarray(maps["dwpose"].convert("RGB").resize(size, Image.BICUBIC)).transpose(2, 0, 1),
        "flats": np.stack([_picture(root, record[name], garment_size) for name in worn]),
        "labels": np.array([CLASSES[name] for name in worn]),
        "coords": np.zeros((size[1] // 8, size[0] // 8, 2), np.float32),
        "owner": np.full((size[1] // 8, size[0] // 8), -1, np.int8),
    }


class DressCodeMR(torch.utils.data.IterableDataset):
    """Endless batches in a shuffled order that depends on the epoch alone; a batch's rows wear equally many
    garments.
    """

    def __init__(
        self,
        root: Path,
        batch: int = 1,
        position: int = 0,
        split: str = "train",
        size=PERSON_SIZE,
        garment_size=GARMENT_SIZE,
    ):
        self.root, self.batch, self.position, self.size, self.garment_size = (
            Path(root),
            batch,
            position,
            size,
            garment_size,
        )
        self.records = read_records(self.root, split)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        worker = torch.utils.data.get_worker_info()
        number, stride = (self.position + worker.id, worker.num_workers) if worker else (self.position, 1)
        while True:
            yield number, self.make(number)
            number += stride

    def batches_of(self, epoch: int) -> list[list[dict]]:
        by_count: dict[int, list[dict]] = {}
        order = np.random.default_rng([5, epoch]).permutation(len(self.records))
        for index in order:
            record = self.records[index]
            by_count.setdefault(sum(bool(record.get(name)) for name in CLASSES), []).append(record)
        batches = [rows[i : i + self.batch] for rows in by_count.values() for i in range(0, len(rows), self.batch)]
        return [batches[i] for i in np.random.default_rng([6, epoch]).permutation(len(batches))]

    def make(self, number: int) -> Batch:
        from .pairs import collate

        epoch, index = divmod(number, len(self.batches_of(0)))
        rows = self.batches_of(epoch)[index]
        return collate([sample(self.root, record, self.size, self.garment_size) for record in rows])


def _open(root: Path, name: str) -> Image.Image:
    path = root / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; it is named by the list or belongs to a person of it.")
    return Image.open(path)


def _picture(root: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """[3,H,W] uint8: centre crop to the size's proportions, LANCZOS."""
    picture = _open(root, name).convert("RGB")
    scale = max(size[0] / picture.width, size[1] / picture.height)
    width, height = size[0] / scale, size[1] / scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    return np.asarray(picture.resize(size, Image.LANCZOS, box=(left, top, left + width, top + height))).transpose(
        2, 0, 1
    )
