"""A user's own designs for the designer recipe: any layout known here, as batches like those of drawn figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from . import captioned_folder, hierafashion
from .design_prompts import NOBODY, Piece, Words
from .design_record import Design, pose_weight, read_picture
from .designer_data import BLACK_POSE_SHARE, POSE_SHARE, Designs, draw_level

SIZE = (192, 256)
PATCH = 8


def read(folder: Path | str, split: str = "train") -> list[Design]:
    """The designs of a folder: HieraFashion's or EquiFashion-DB's JSON lists if there are any, else captioned pictures.

    split: "train" or "test", for the JSON lists. Raises ValueError with one sentence for a folder that cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give the root folder of the data set.")
    if hierafashion.list_of(folder, split):
        return hierafashion.read(folder, split)
    return captioned_folder.read(folder)


class FolderDesigns(torch.utils.data.IterableDataset):
    """Endless batches; every design comes once an epoch, in another order each time. `position` counts batches.

    by_level: share of the prompts cut by C(t); the rest says the whole caption at every level. empty: share without
    words. pose_rule: M(t), see `pose_weight`. Nothing is known of which garment a cell shows (owner -1): the text
    attention is not supervised.
    """

    def __init__(
        self,
        designs: Sequence[Design],
        words: Words,
        batch: int = 8,
        position: int = 0,
        size: tuple[int, int] = SIZE,
        by_level: float = 0.5,
        empty: float = 0.1,
        pose_rule: str = "published",
    ):
        if len(designs) < batch:
            raise ValueError(f"There are {len(designs)} designs, fewer than a batch of {batch}; bring more pictures.")
        self.designs, self.words, self.batch, self.position, self.size = list(designs), words, batch, position, size
        self.by_level, self.empty, self.pose_rule = by_level, empty, pose_rule

    def __iter__(self) -> Iterator[tuple[int, Designs]]:
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        number = self.position + offset
        while True:
            yield number, self.make(number)
            number += stride

    def make(self, number: int) -> Designs:
        """The batch of a number: always the same."""
        samples = [self.sample(number * self.batch + i) for i in range(self.batch)]
        columns = {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}
        return Designs(**{key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in columns.items()})

    def sample(self, number: int) -> dict[str, np.ndarray]:
        """The sample of a number, counted over all epochs."""
        epoch, place = divmod(number, len(self.designs))
        design = self.designs[int(np.random.default_rng([7, epoch]).permutation(len(self.designs))[place])]
        rng = np.random.default_rng([8, number])
        t = draw_level(rng)
        text = self.said(design, t, rng)
        words, owners, grounds = self.words.encode([Piece(text)] if text else [])
        person = read_picture(design.picture, self.size)
        pose, seen = np.zeros_like(person), rng.random()
        if design.pose is not None and seen < POSE_SHARE and pose_weight(t, self.pose_rule):
            pose = read_picture(design.pose, self.size)
        acts = design.pose is not None and seen < POSE_SHARE + BLACK_POSE_SHARE
        return {
            "person": person, "pose": pose, "owner": np.full([side // PATCH for side in self.size[::-1]], NOBODY,
            np.int8),
            "words": words, "owners": owners, "grounds": grounds, "t": np.array(t), "seen": np.array(acts, np.float32),
        }  # fmt: skip

    def said(self, design: Design, t: int, rng: np.random.Generator) -> str:
        """What one sample is told at t."""
        if rng.random() < self.empty:
            return ""
        return design.prompt_at(t) if rng.random() < self.by_level else design.caption
