"""Figures that the designer is drawing itself, a step further at every training step, and what it is asked of them.

In training a noisy latent always agrees with its prompt, so that a designer learns to believe it. In use it is what the
designer made itself a step before, and mistakes are believed as well: the critic read the right top pattern in 0.96 of
its guesses at pure noise and in 0.71 of the figures that came of them, hems in 0.65 and 0.40 (cfg 1). Here the critic
and the garments' colours are asked where the designer itself has led to (the mismatch is Bengio et al. 2015, "Scheduled
Sampling"; rewards of own samples, one step of which is learnt from: Clark et al. 2024, "DRaFT"). As many rollouts are
under way as there are levels, each at another one: one begins and one ends with every training step, and a step
costs one call. Our own; the sources train on true pictures alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ..noise import LOWEST
from ..tryon.inputs import LAST
from .design_critic import asked
from .design_prompts import PromptMix, Words, prompt

SEEDS = 12_000_000  # their figures
LEVELS = 8
FINISHED = 400  # below this timestep a guess is all but the finished figure
LOOSE = 50  # timesteps that a level may lie off the host's scheduler `normal`
CFG = (1.0, 4.5)
MIX = PromptMix(empty=0.0, thinned=0.0, shuffled=0.0)


@dataclass
class Course:
    """One figure and what is said of it at every level. Rows of `t`, `words` and `asked` are levels."""

    t: Tensor  # int64 [L], falling from LAST to LOWEST
    words: Tensor  # int64 [L,77]
    asked: Tensor  # int8 [L,attributes]
    person: Tensor  # uint8 [3,H,W]
    pose: Tensor  # uint8 [3,H,W]
    joints: Tensor  # float32 [18,3]
    owner: Tensor  # int8 [h,w]
    labels: Tensor  # uint8 [H/2,W/2]
    cfg: Tensor  # float32 []

    def to(self, device) -> Course:
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def course(seed: int, words: Words) -> Course:
    """The course of a seed: always the same. Half of the prompts are cut by level, none is empty or thinned out."""
    from ....croquis import random_figure, render

    rng = np.random.default_rng([seed, 31])
    spec = random_figure(seed)
    figure = render(spec, want=("person", "pose", "coords", "parts"))
    inner = np.linspace(LAST, LOWEST, LEVELS)[1:-1] + rng.uniform(-LOOSE, LOOSE, LEVELS - 2)
    t = np.array([LAST, *inner.round().astype(int), LOWEST])
    said = [prompt(spec, int(level), np.random.default_rng([seed, 32]), MIX) for level in t]
    return Course(
        torch.from_numpy(t), torch.from_numpy(np.stack([words.encode(pieces)[0] for pieces in said])),
        torch.from_numpy(np.stack([asked(pieces, spec) for pieces in said])),
        *(torch.from_numpy(np.ascontiguousarray(x)) for x in (
            figure.person.transpose(2, 0, 1), figure.pose.transpose(2, 0, 1), figure.keypoints, figure.owner,
            figure.atr[::2, ::2],
        )),
        torch.tensor(rng.uniform(*CFG), dtype=torch.float32),
    )  # fmt: skip


@dataclass
class UnderWay(Course):
    """All rollouts at their present levels, one a row; latent is clean + ratio * noise."""

    latent: Tensor  # [N,C,h,w]
    ratio: Tensor  # [N] the noise's deviation now
    after: Tensor  # [N] the same at the next level; 0: there is none


class Rollouts:
    """ratios: float [1000], the noise's deviation beside a clean latent at every timestep.

    Not kept in checkpoints: a resumed run begins its rollouts anew, which takes as many steps as there are levels.
    """

    def __init__(self, ratios: Tensor):
        self.ratios = ratios
        self._courses: list[tuple[Course, int, Tensor]] = []  # course, level, latent [C,h,w]

    def begin(self, course: Course, noise: Tensor) -> None:
        """One more, from pure noise [C,h,w]."""
        self._courses.append((course, 0, noise * self.ratios[course.t[0]]))

    def now(self) -> UnderWay:
        after = [
            self.ratios[course.t[level + 1]] if level + 1 < len(course.t) else self.ratios[0] * 0
            for course, level, _ in self._courses
        ]
        rows = {
            name: torch.stack([getattr(course, name)[level] for course, level, _ in self._courses])
            for name in ("t", "words", "asked")
        } | {
            name: torch.stack([getattr(course, name) for course, _, _ in self._courses])
            for name in ("person", "pose", "joints", "owner", "labels", "cfg")
        }
        latent = torch.stack([latent for _, _, latent in self._courses])
        return UnderWay(latent=latent, ratio=self.ratios[rows["t"]], after=torch.stack(after), **rows)

    def advance(self, now: UnderWay, guess: Tensor, unprompted: Tensor) -> None:
        """A step of the Euler sampler with each one's cfg, from both guesses of the clean latent [N,C,h,w]; what has
        reached its last level is let go.
        """
        scale, share = now.cfg[:, None, None, None], (now.after / now.ratio)[:, None, None, None]
        clean = unprompted + scale * (guess - unprompted)
        latents = clean + share * (now.latent - clean)
        self._courses = [
            (course, level + 1, latent)
            for (course, level, _), latent in zip(self._courses, latents, strict=True)
            if level + 1 < len(course.t)
        ]
