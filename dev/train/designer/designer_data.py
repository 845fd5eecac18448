"""Drawn figures for the designer recipe: picture, pose, prompt and noise level, each figure once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..layout import ink_shares
from ..noise import LOWEST
from ..tryon.inputs import LAST
from .cut import said_cuts
from .design_critic import asked
from .design_prompts import PromptMix, Words, prompt
from .rollouts import SEEDS as COURSE_SEEDS
from .rollouts import Course, course

SEEDS = 5_000_000  # the designer's figures; held-out ones lie below 500 000
# What a figure wears, and its share; None: top and bottom, or one overall.
OUTFITS = (
    (None, 0.72),
    (("upper", "lower", "shoe"), 0.09),
    (("upper", "lower", "bag"), 0.07),
    (("overall", "shoe"), 0.05),
    (("upper", "lower", "upper"), 0.07),
)
NOISE_SCALE = 4.0  # more noise than Stable Diffusion's at every timestep, so that published borders come in time
NEAREST = 80  # timesteps above the lowest at which a guess counts as a result
HIGH = 380  # above, the latent itself shows little of a figure's cut
POSE_SHARE, BLACK_POSE_SHARE = 0.62, 0.04  # samples that see the pose; samples that see a black picture in its place


@dataclass
class Designs:
    """A batch. pose is 0..255; seen: 1 where the pose ControlNet acts at all."""

    person: Tensor  # uint8 [B,3,H,W]
    pose: Tensor  # uint8 [B,3,H,W]
    owner: Tensor  # int8 [B,h,w] index of the visible garment or -1
    words: Tensor  # int64 [B,77] rows of the trained table
    owners: Tensor  # int64 [B,77] whose word it is, or -1
    grounds: Tensor  # int64 [B,77] whose ground colour it names, or -1
    t: Tensor  # int64 [B]
    seen: Tensor  # float32 [B]
    labels: Tensor | None = None  # uint8 [B,H/2,W/2] ATR numbers; None: nothing is known of it (and of ink)
    ink: Tensor | None = None  # uint8 [B,H/4,W/4] share of ink, 255 all
    cuts: Tensor | None = None  # int8 [B,garments,attributes] what the prompt says of a garment's cut (`cut.CUT`)
    joints: Tensor | None = None  # float32 [B,18,3] COCO-18 in pixels
    asked: Tensor | None = None  # int8 [B,attributes] what the prompt says, in `design_critic.ASKED`'s order
    course: Course | None = None  # the next rollout to begin

    def to(self, device) -> Designs:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Designs(**{name: value if value is None else value.to(device) for name, value in values.items()})


def draw_level(rng: np.random.Generator) -> int:
    """A timestep from LOWEST on, mostly where words decide: a fifth pure noise (a plain regression), nearly three
    fifths from HIGH on; an eighth where a guess is a result.
    """
    kind = rng.random()
    first, end = (HIGH, LAST + 1) if kind < 0.78 else (LOWEST, LOWEST + NEAREST if kind < 0.9 else HIGH)
    return LAST if kind < 0.2 else int(rng.integers(first, end))


class DrawnDesigns(torch.utils.data.IterableDataset):
    """Endless batches. `position` counts batches, so that a resumed run draws what comes next."""

    def __init__(
        self, tokenizer: Path, batch: int = 8, position: int = 0, seed: int = SEEDS, mix: PromptMix | None = None
    ):
        self.words, self.batch, self.position, self.seed, self.mix = (
            Words(tokenizer),
            batch,
            position,
            seed,
            mix or PromptMix(),
        )
        self.courses = False  # whether every batch brings the course of a rollout
        self.shard = (0, 1)  # which of how many processes; they make the batches in turn

    def __iter__(self) -> Iterator[tuple[int, Designs]]:
        worker = torch.utils.data.get_worker_info()
        rank, processes = self.shard
        turn, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        number, stride = self.position + rank + turn * processes, workers * processes
        while True:
            yield number, self.make(number)
            number += stride

    def make(self, number: int) -> Designs:
        """The batch of a number: always the same."""
        samples = [self.sample(self.seed + number * self.batch + i) for i in range(self.batch)]
        columns = {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}
        batch = Designs(**{key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in columns.items()})
        batch.course = course(COURSE_SEEDS + number, self.words) if self.courses else None
        return batch

    def sample(self, seed: int) -> dict[str, np.ndarray]:
        from ....croquis import random_figure, render

        rng = np.random.default_rng([seed, 30])
        shares = [share for _, share in OUTFITS]
        spec = random_figure(seed, OUTFITS[int(rng.choice(len(OUTFITS), p=shares))][0])
        figure = render(spec, want=("person", "pose", "coords", "parts", "sketch"))
        t = draw_level(rng)
        pieces = prompt(spec, t, rng, self.mix)
        words, owners, grounds = self.words.encode(pieces)
        seen = rng.random()
        pose = figure.pose if seen < POSE_SHARE else np.zeros_like(figure.pose)
        return {
            "person": figure.person.transpose(2, 0, 1), "pose": pose.transpose(2, 0, 1), "owner": figure.owner,
            "words": words, "owners": owners, "grounds": grounds, "t": np.array(t),
            "seen": np.array(seen < POSE_SHARE + BLACK_POSE_SHARE, np.float32),
            "labels": figure.atr[::2, ::2], "ink": ink_shares(figure.sketch),
            "cuts": said_cuts(pieces, spec.garments), "joints": figure.keypoints, "asked": asked(pieces, spec),
        }  # fmt: skip
