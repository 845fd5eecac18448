"""Batches of the wardrobe recipe: pictures, captions and wishes, and which captions fit which pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....models.studio.wardrobe.wardrobe_attributes import KINDS, named
from ....models.studio.wardrobe.wardrobe_network import padded
from ....models.studio.wardrobe.wardrobe_words import DEC, SEP, caption_ids, change_ids, query_ids
from .wardrobe_pool import TRAIN_SEEDS, Pool, draw_row


@dataclass
class Batch:
    """pictures [R,3,SIDE,SIDE] in 0..1. captions [C,L] ids of the rows `captioned` [C]; written [C,M] ids of the same
    rows' caption for the language head, [DEC] first, [SEP] last. fits [C,C] bool: picture i, caption j. wishes [W,L]
    ids of a change that leads from the rows `before` [W] to the rows `after` [W]; same [R,R] bool: rows with equal
    attributes. numbers [R,kinds]: the attributes themselves, where they are known."""

    pictures: Tensor
    captioned: Tensor
    captions: Tensor
    written: Tensor
    fits: Tensor
    before: Tensor
    after: Tensor
    wishes: Tensor
    same: Tensor
    numbers: Tensor | None = None


class DrawnBatches(torch.utils.data.IterableDataset):
    """Endless batches of `pairs` drawn pairs (2 rows each, the wish said in both directions) in random views. Before
    each batch `drawing` more rows of a pool that is not full yet are drawn."""

    def __init__(self, pool: Pool, pairs: int, seed: int = 0, keep: float = 0.85, drawing: int = 0):
        self.pool, self.pairs, self.seed, self.keep, self.drawing = pool, pairs, seed, keep, drawing

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed)
        rng = np.random.default_rng([self.seed, 61])
        ready = self.pool.numbers.numpy().any((1, 2))
        missing = iter(np.flatnonzero(~ready).tolist())
        while True:
            for row in islice(missing, self.drawing):
                draw_row(self.pool, row, TRAIN_SEEDS)
                ready[row] = True
            drawn = torch.from_numpy(np.flatnonzero(ready))
            rows = drawn[torch.randperm(len(drawn), generator=generator)[: self.pairs]].sort().values  # sorted: a file
            yield drawn_batch(self.pool, rows, rng, generator, self.keep)


def drawn_batch(
    pool: Pool, rows: Tensor, rng: np.random.Generator, generator: torch.Generator | None, keep: float
) -> Batch:
    """The pairs of some rows of the pool. generator: None leaves the pictures as they are. keep: share of attributes
    that a caption says (one caption in four says all)."""
    pictures = pool.pictures[rows].transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    numbers = pool.numbers[rows].transpose(0, 1).flatten(0, 1).numpy()
    said = [named(row) for row in numbers]
    captions, kinds = zip(*(query_ids(s, rng, 1.0 if rng.random() < 0.25 else keep) for s in said), strict=True)
    count, pairs = len(said), len(rows)
    fits = np.ones((count, count), bool)
    for place, kind in enumerate(KINDS):
        says = np.array([kind in k for k in kinds])
        fits &= (numbers[:, None, place] == numbers[None, :, place]) | ~says[None]
    every = torch.arange(count)
    other = torch.cat([every[pairs:], every[:pairs]])
    return Batch(
        pictures=pictures if generator is None else seen_anew(pictures, generator),
        captioned=every, captions=padded(list(captions)), written=padded([[DEC, *caption_ids(s), SEP] for s in said]),
        fits=torch.from_numpy(fits), before=every, after=other,
        wishes=padded([change_ids(said[i], said[int(other[i])], rng) for i in range(count)]),
        same=torch.from_numpy((numbers[:, None] == numbers[None]).all(2)), numbers=torch.from_numpy(numbers),
    )  # fmt: skip


def seen_anew(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrored, shifted and scaled a little, a little other light and noise: colours must keep their names."""
    count = len(pictures)

    def random(*shape):
        return torch.rand(*shape, generator=generator) - 0.5

    matrix = torch.zeros(count, 2, 3)
    mirrored = torch.where(random(count) < 0, -1.0, 1.0)
    scale = 1 + 0.14 * random(count)
    matrix[:, 0, 0], matrix[:, 1, 1] = scale * mirrored, scale * (1 + 0.06 * random(count))
    matrix[:, :, 2] = 0.1 * random(count, 2)
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    gain = 1 + 0.04 * random(count, 1, 1, 1) + 0.02 * random(count, 3, 1, 1)
    noise = torch.randn(pictures.shape, generator=generator) * 0.012
    return (pictures * gain + noise).clamp(0, 1)
