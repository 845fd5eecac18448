"""Drawn figures for the generator recipe: a pool of their latents, drawn once, with a new prompt each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..designer.design_prompts import PromptMix, Words, prompt
from ..designer.designer_data import OUTFITS
from ..latents import PATCH, Latents
from ..tryon.inputs import LAST

SEEDS = 7_000_000  # the generator's figures; held-out ones lie below 500 000
WIDTH, HEIGHT = 192, 256
PROMPTS = PromptMix(empty=0.05, by_level=0.5)


@dataclass
class Drafts:
    clean: Tensor  # float32 [B,C,h,w] latents
    words: Tensor  # int64 [B,77] rows of the trained table
    t: Tensor  # int64 [B]


def figure_of(seed: int):
    """The figure of a seed, dressed as the designer's figures are."""
    from ....croquis import random_figure

    rng = np.random.default_rng([seed, 30])
    shares = [share for _, share in OUTFITS]
    return random_figure(seed, OUTFITS[int(rng.choice(len(OUTFITS), p=shares))][0])


def pool_of_latents(count: int, latents: Latents, folder: Path, first: int = SEEDS) -> np.ndarray:
    """float16 [count,C,h,w], drawn once and kept as one file; a drawing that was cut off goes on where it was."""
    from ....croquis import render

    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / f"pool-{count}.npy", folder / f"pool-{count}-part.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    shape = (count, latents.channels, HEIGHT // PATCH, WIDTH // PATCH)
    kept = np.lib.format.open_memmap(part, "r+" if part.exists() else "w+", np.float16, shape)
    done = int(np.flatnonzero(np.asarray(kept[:, 0, 0, 0]) != 0).max(initial=-1)) + 1
    for number in range(done, count):
        picture = torch.from_numpy(render(figure_of(first + number), WIDTH, HEIGHT, ("person",)).person.copy())
        kept[number] = latents.encode(picture.permute(2, 0, 1)[None].float() / 255)[0].half().numpy()
        if number % 50 == 0:
            print(f"\rdrawing {number}/{count}", end="", flush=True)
    kept.flush()
    del kept
    part.rename(path)
    print(f"\r{path}")
    return np.load(path, mmap_mode="r")


def draw_level(rng: np.random.Generator) -> int:
    """A timestep: a third pure noise, where ideas are made, the rest anywhere, seldom below 300."""
    choice = rng.random()
    if choice < 0.35:
        return LAST
    return int(rng.integers(300, LAST + 1)) if choice < 0.9 else int(rng.integers(0, 300))


class DraftBatches(torch.utils.data.IterableDataset):
    """Endless batches from the pool. `position` counts batches, for a resumed run."""

    def __init__(self, pool: np.ndarray, words: Words, batch: int, position: int = 0, first: int = SEEDS):
        self.pool, self.words, self.batch, self.position, self.first = pool, words, batch, position, first

    def __iter__(self) -> Iterator[tuple[int, Drafts]]:
        number = self.position
        while True:
            yield number, self.make(number)
            number += 1

    def make(self, number: int) -> Drafts:
        """The batch of a number: always the same."""
        rng = np.random.default_rng([9, number])
        rows = rng.choice(len(self.pool), self.batch, replace=False)
        t = [draw_level(rng) for _ in rows]
        told = [
            self.words.encode(prompt(figure_of(self.first + int(row)), at, rng, PROMPTS))[0] for row, at in zip(rows, t)
        ]
        clean = torch.from_numpy(np.stack([self.pool[row] for row in rows])).float()
        return Drafts(clean, torch.from_numpy(np.stack(told)), torch.tensor(t))
