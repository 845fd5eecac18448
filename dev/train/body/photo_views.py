"""Random views of labelled photographs: whole figures and parts of them, mirrored, moved, turned, in other light.

Every batch follows from its number alone, so a stopped run goes on with the batch that it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....models.studio.person_frame import HIPS, SHOULDERS, frame_size, person_box
from ....models.studio.photo_parser import CLASSES, FINE, MIRRORED
from .street_photos import OUTSIDE, Photos

IGNORED = len(CLASSES)  # this label and larger ones teach nothing
RARE = ("skirt", 1.6)  # photographs with this class are drawn so much more often


@dataclass(frozen=True)
class ViewRecipe:
    parts: float = 0.25  # share of batches that show a part of the figure, as catalogue crops and selfies do
    whole_picture: float = 0.1  # share of full views that do not look for the person
    no_joints: float = 0.15  # share of pictures whose joints nobody knows
    lost_joint: float = 0.05
    moved_joint: float = 0.006  # deviation, in shares of the frame's height
    scale: float = 0.25  # log scale, uniform to both sides
    shift: float = 0.08  # of the frame, uniform to both sides
    turn: float = 0.07  # radians, deviation
    noise: float = 0.03
    blurred: float = 0.15


class Batch(NamedTuple):
    """picture float [B,3,H,W] in 0..1; labels int64 [B,H/2,W/2], IGNORED and above teach nothing; joints [B,18,3] in
    frame pixels; trust float [B]: 1 for labels by hand, less for labels of an earlier network.
    """

    picture: Tensor
    labels: Tensor
    joints: Tensor
    trust: Tensor


class Views(torch.utils.data.IterableDataset):
    """Batches without end, from the given number on.

    labelled: photographs labelled by hand. guessed: photographs labelled by an earlier network, `share` of each batch.
    long: long side of a full view.
    """

    def __init__(
        self,
        labelled: Photos,
        batch: int,
        long: int,
        position: int = 0,
        guessed: Photos | None = None,
        share: float = 0.5,
        recipe: ViewRecipe = ViewRecipe(),
    ):
        self.labelled, self.guessed, self.batch, self.long, self.recipe = labelled, guessed, batch, long, recipe
        self.position, self.guesses = position, round(batch * share) if guessed is not None else 0
        self.odds = row_odds(labelled)

    def __iter__(self):
        while True:
            yield self.make(self.position)
            self.position += 1

    def make(self, number: int) -> Batch:
        """The batch of a number, the same each time."""
        rng = np.random.default_rng((29, number))
        part = rng.random() < self.recipe.parts
        size = frame_size(0.8 if part else 0.5, self.long)
        rows = [(self.labelled, int(r)) for r in rng.choice(len(self.odds), self.batch - self.guesses, p=self.odds)]
        if self.guesses:
            rows += [(self.guessed, int(r)) for r in rng.integers(len(self.guessed), size=self.guesses)]
        made = [view(photos, row, size, part, rng, self.recipe) for photos, row in rows]
        picture, labels, joints = (torch.stack(column) for column in zip(*made))
        trust = torch.tensor([1.0] * (self.batch - self.guesses) + [0.7] * self.guesses)
        return Batch(relit(picture, torch.Generator().manual_seed(number), self.recipe), labels, joints, trust)


def row_odds(photos: Photos) -> np.ndarray:
    """How likely each photograph is drawn: never without a labelled person, more often with the rare class."""
    odds = np.ones(len(photos))
    for row in range(len(photos)):
        labels = photos.labels[row, ::4, ::4].ravel()
        shares = np.bincount(labels, minlength=256) / len(labels)
        odds[row] = RARE[1] if shares[CLASSES.index(RARE[0])] > 0.0015 else 1
        odds[row] *= shares[1:IGNORED].sum() > 0.015
    return odds / odds.sum()


def view(
    photos: Photos, row: int, size: tuple[int, int], part: bool, rng: np.random.Generator, recipe: ViewRecipe
) -> tuple[Tensor, Tensor, Tensor]:
    """One random view: picture [3,H,W] in 0..1, labels [H/2,W/2], joints [18,3]."""
    joints, (width, height) = photos.joints[row], photos.sizes[row]
    box = person_box(joints, int(width), int(height))
    if part:
        box = part_box(box, joints, rng)
    elif rng.random() < recipe.whole_picture:
        box = (0.0, 0.0, float(width), float(height))
    matrix = random_matrix(box, size, rng, recipe)
    mirrored = rng.random() < 0.5
    if mirrored:
        matrix[:, 2] += matrix[:, 0] * size[0]
        matrix[:, 0] *= -1
    moved = moved_joints(joints, matrix, size, mirrored)
    return *read_view(photos, row, matrix, size), torch.from_numpy(doubted(moved, size, rng, recipe))


def part_box(box, joints: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A box of the upper or the lower half of a person, or of any other part of a person's height."""
    left, top, right, bottom = box
    there = joints[:, 2] > 0
    hips, shoulders = (joints[[j for j in pair if there[j]], 1] for pair in (HIPS, SHOULDERS))
    waist = float(hips.mean()) if len(hips) else (top + bottom) / 2
    neck = float(shoulders.mean()) if len(shoulders) else top + 0.2 * (bottom - top)
    kind = rng.random()
    if kind < 0.5:
        bottom = waist + rng.uniform(-0.3, 0.6) * (waist - neck)
    elif kind < 0.75:
        top = waist - rng.uniform(0.1, 0.7) * (waist - neck)
    else:
        tall = rng.uniform(0.3, 0.6) * (bottom - top)
        top = rng.uniform(top, bottom - tall)
        bottom = top + tall
    return left, top, right, max(bottom, top + 8)


def random_matrix(box, size: tuple[int, int], rng: np.random.Generator, recipe: ViewRecipe) -> np.ndarray:
    """[2,3] from frame pixels to picture pixels: the box in the frame, a little moved, scaled and turned."""
    (left, top, right, bottom), (width, height) = box, size
    scale = max((right - left) / width, (bottom - top) / height) * np.exp(rng.uniform(-recipe.scale, recipe.scale))
    angle = rng.normal(0, recipe.turn)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = rng.uniform(-recipe.shift, recipe.shift, 2) * (width, height) * scale
    centre = np.array([(left + right) / 2, (top + bottom) / 2]) + shift
    return np.concatenate([turn, (centre - turn @ (width / 2, height / 2))[:, None]], 1)


def moved_joints(joints: np.ndarray, matrix: np.ndarray, size: tuple[int, int], mirrored: bool) -> np.ndarray:
    """[18,3] in frame pixels; what lies outside the frame is absent."""
    order = list(MIRRORED) if mirrored else list(range(len(joints)))
    moved = joints[order].astype(np.float64)
    moved[:, :2] = (moved[:, :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    inside = (moved[:, :2] >= 0).all(1) & (moved[:, :2] < size).all(1) & (moved[:, 2] > 0)
    return np.where(inside[:, None], moved, 0).astype(np.float32)


def doubted(joints: np.ndarray, size: tuple[int, int], rng: np.random.Generator, recipe: ViewRecipe) -> np.ndarray:
    """Joints as a detector might give them: a little off, some missing, now and then none."""
    there = (joints[:, 2:] > 0) & (rng.random((len(joints), 1)) >= recipe.lost_joint)
    noise = rng.normal(0, recipe.moved_joint * size[1], (len(joints), 2))
    known = rng.random() >= recipe.no_joints
    joints = joints + np.pad(noise, ((0, 0), (0, 1)))
    return np.where(there & known, joints, 0).astype(np.float32)


def read_view(photos: Photos, row: int, matrix: np.ndarray, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What lies where `matrix` [2,3] (from frame pixels to picture pixels) says: picture [3,H,W], labels [H/2,W/2]."""
    import cv2

    width, height = size
    backwards = cv2.WARP_INVERSE_MAP
    picture = cv2.warpAffine(
        np.asarray(photos.pictures[row]), at_centres(matrix, 1), size, None, cv2.INTER_LINEAR | backwards,
        cv2.BORDER_REPLICATE,
    )  # fmt: skip
    labels = cv2.warpAffine(
        np.asarray(photos.labels[row]), at_centres(matrix, FINE), (width // FINE, height // FINE), None,
        cv2.INTER_NEAREST | backwards, cv2.BORDER_CONSTANT, OUTSIDE,
    )  # fmt: skip
    return torch.from_numpy(picture).movedim(-1, 0).float() / 255, torch.from_numpy(labels).long()


def at_centres(matrix: np.ndarray, step: int) -> np.ndarray:
    """The matrix for whole-number pixels, whose centres lie half a pixel further, `step` frame pixels apart."""
    turn = matrix[:, :2] * step
    return np.concatenate([turn, matrix[:, 2:] + turn.sum(1, keepdims=True) / 2 - 0.5], 1)


def relit(picture: Tensor, generator: torch.Generator, recipe: ViewRecipe) -> Tensor:
    """Other exposure, contrast, saturation and tint, noise, and now and then a blur."""
    count = len(picture)

    def around(spread: float, *shape: int) -> Tensor:
        return 1 + spread * (2 * torch.rand(count, *(shape or (1, 1, 1)), generator=generator) - 1)

    picture = picture.clamp_min(1e-4) ** around(0.25)
    grey = picture.mean(1, keepdim=True)
    picture = grey + (picture - grey) * around(0.4)
    middle = picture.mean((1, 2, 3), keepdim=True)
    picture = (middle + (picture - middle) * around(0.25)) * around(0.15) * around(0.08, 3, 1, 1)
    strength = recipe.noise * torch.rand(count, 1, 1, 1, generator=generator).square()
    picture = picture + strength * torch.randn(picture.shape, generator=generator)
    for row in torch.nonzero(torch.rand(count, generator=generator) < recipe.blurred).flatten().tolist():
        small = F.interpolate(picture[row : row + 1], scale_factor=0.5, mode="area")
        picture[row] = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)[0]
    return picture.clamp(0, 1)
