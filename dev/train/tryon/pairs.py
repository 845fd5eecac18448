"""Try-on pairs: batches of a person, an agnostic mask, a pose and flat-lays, drawn on the fly, each figure once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..layout import ink_shares

CLASSES = {"upper": 0, "lower": 1, "overall": 2, "shoe": 3, "bag": 4}
# What a batch wears, which of it is to be put on, and its share: all garments of a batch are of the same kinds, so that
# every row has as many references as the next.
KINDS = (
    (("upper", "lower"), (0, 1), 0.34),
    (("overall",), (0,), 0.16),
    (("upper", "lower"), (0,), 0.13),
    (("upper", "lower"), (1,), 0.11),
    (("upper", "lower", "shoe"), (0, 1, 2), 0.06),
    (("upper", "lower", "bag"), (0, 1, 2), 0.12),
    (("overall", "shoe", "bag"), (0, 1, 2), 0.08),
)
TRAIN_SEEDS = 1_000_000  # training draws seeds from here on; below are the held-out ones


@dataclass
class Batch:
    """Pictures uint8; R references a row. coords: flat-lay pixels of what each latent cell shows; owner: of which
    reference.

    atr, ink: the figure's layout, ATR numbers at every second pixel and the share of ink in four by four, 255 all;
    None: not known.
    """

    person: Tensor  # [B,3,H,W]
    mask: Tensor  # [B,1,H,W] 0 or 1
    pose: Tensor  # [B,3,H,W]
    flats: Tensor  # [B,R,3,H,W]
    labels: Tensor  # [B,R]
    coords: Tensor  # [B,h,w,2]
    owner: Tensor  # [B,h,w] reference index or -1
    atr: Tensor | None = None  # [B,H/2,W/2]
    ink: Tensor | None = None  # [B,H/4,W/4]

    def to(self, device) -> Batch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Batch(**{name: value if value is None else value.to(device) for name, value in values.items()})


def draw(
    seed: int, kind: tuple, width: int = 192, height: int = 256, detect=None, layout: bool = False
) -> dict[str, np.ndarray]:
    """One sample of a kind (worn categories, indices of those to be put on). layout: `atr` and `ink` too.

    detect: what `detected_masks.open_detector` gives; mask and pose are then those that it finds in the picture.
    """
    from ....croquis import random_figure, render

    worn, chosen = kind[0], kind[1]
    spec = random_figure(seed, worn)
    wanted = ("person", "pose", "coords") if len(chosen) < len(worn) else ("person", "pose", "coords", "mask", "flat")
    figure = render(spec, width, height, (*wanted, "parts", "sketch") if layout else wanted)
    part = figure
    if len(chosen) < len(worn):
        part = render(replace(spec, garments=tuple(spec.garments[i] for i in chosen)), width, height, ("mask", "flat"))
    owner = np.full_like(figure.owner, -1)
    for new, old in enumerate(chosen):
        owner[figure.owner == old] = new
    person = figure.person.transpose(2, 0, 1)
    mask, pose = (part.mask[None] > 127).astype(np.uint8), figure.pose.transpose(2, 0, 1)
    if detect is not None:
        mask, pose = detect(np.ascontiguousarray(person), tuple(spec.garments[i].category for i in chosen))
    known = {"atr": figure.atr[::2, ::2], "ink": ink_shares(figure.sketch)} if layout else {}
    return {
        "person": person,
        "mask": mask,
        "pose": pose,
        "flats": np.stack(part.flats).transpose(0, 3, 1, 2),
        "labels": np.array([CLASSES[spec.garments[i].category] for i in chosen]),
        "coords": figure.coords,
        "owner": owner,
        **known,
    }


def collate(samples: list[dict[str, np.ndarray]]) -> Batch:
    return Batch(
        **{key: torch.from_numpy(np.ascontiguousarray(np.stack([s[key] for s in samples]))) for key in samples[0]}
    )


class DrawnPairs(torch.utils.data.IterableDataset):
    """Endless batches from a seed on. `position` counts batches, so that a resumed run draws what comes next.

    detected: share of the batches whose masks and poses are found in the pictures by the body network in `weights`.
    layout: `atr` and `ink` too.
    """

    def __init__(
        self, batch: int = 8, position: int = 0, seed: int = TRAIN_SEEDS, kinds=KINDS, detected: float = 0.0,
        weights: Path | None = None, layout: bool = False,
    ):  # fmt: skip
        self.batch, self.position, self.seed, self.kinds = batch, position, seed, kinds
        self.detected, self.weights, self.layout, self._detect = detected, weights, layout, None

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        number = self.position + offset
        while True:
            yield number, self.make(number)
            number += stride

    def make(self, number: int) -> Batch:
        """The batch of a number: always the same."""
        shares = np.cumsum([kind[2] for kind in self.kinds])
        rng = np.random.default_rng([self.seed, number])
        kind = self.kinds[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
        detect = self._detector() if rng.random() < self.detected else None
        first = self.seed + number * self.batch
        return collate([draw(first + i, kind, detect=detect, layout=self.layout) for i in range(self.batch)])

    def _detector(self):
        """Opened where it is first needed: in the process that draws."""
        if self._detect is None:
            from .detected_masks import open_detector

            self._detect = open_detector(self.weights, views=1)
        return self._detect
