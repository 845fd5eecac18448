"""A body that was found: from Detect Body (or Croquis) to every mask, with whose labels they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .keypoints import choose_person, torso_length
from .pose_drawing import LIMBS

if TYPE_CHECKING:
    import torch

SAME = 0.5  # torso lengths between the joints of two detectors that mean the same person, in the median
FINEST = 256  # cells along the longer side in which pixels are shared among people
OTHERS = "the label maps are of another person: the mask follows the joints alone"


@dataclass(frozen=True, eq=False)
class BodyParts:
    """Label maps of a batch: `parts` (numbers of craft.labels.PARTS) and `garments` (ATR numbers), uint8 [B,H,W].

    person: bool [B,H,W] silhouette. source: which backend made them. notes: what is doubtful about them.
    people: float32 [P,18,3] in pixels for each picture; the label maps are of the first of them.
    """

    parts: torch.Tensor
    garments: torch.Tensor | None
    person: torch.Tensor
    source: str
    notes: tuple[str, ...] = ()
    people: tuple[np.ndarray, ...] = ()

    def owners(self) -> list[np.ndarray] | None:
        """Joints [18,3] of the person whose labels they are, for each picture; None where nobody knows."""
        return [people[0] for people in self.people] if self.people else None


def choose_labelled(people: np.ndarray, person: int, owner: np.ndarray | None) -> tuple[np.ndarray, bool]:
    """(joints [18,3] of the chosen person, whether label maps of `owner` are theirs).

    A pose that holds nobody but the owner was chosen before, by Detect Body: `person` then means them, whatever its
    number. Raises ValueError where there is no such person.
    """
    if owner is None:
        return choose_person(people, person), True
    if len(people) == 1 and same_person(people[0], owner):
        return people[0], True
    chosen = choose_person(people, person)
    return chosen, same_person(chosen, owner)


def same_person(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two poses [18,3], of two detectors perhaps, are of the same person in the same place."""
    both = (first[:, 2] > 0) & (second[:, 2] > 0)
    if not both.any():
        return False
    apart = np.linalg.norm(first[both, :2] - second[both, :2], axis=1)
    return bool(np.median(apart) <= SAME * max(torso_length(first), torso_length(second), 1.0))


def labels_of_first(labels: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Label maps uint8 [H,W] without what belongs to somebody else: a pixel belongs to the person [P,18,3] whose limbs
    are nearest, and only the first person's stay.
    """
    if len(people) < 2:
        return labels
    height, width = labels.shape
    cell = max(1, -(-max(height, width) // FINEST))
    y, x = np.mgrid[cell / 2 : height : cell, cell / 2 : width : cell]
    nearest = np.argmin([_distance(person, x, y) for person in people], axis=0)
    rows, columns = (np.minimum(np.arange(n) // cell, m - 1) for n, m in zip(labels.shape, nearest.shape))
    return np.where(nearest[rows][:, columns] == 0, labels, 0).astype(labels.dtype)


def _distance(person: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels to the nearest limb, or joint, of a person that is known."""
    known = person[:, 2] > 0
    ends: Sequence = [(a, b) for a, b in LIMBS if known[a] and known[b]] or [(j, j) for j in np.flatnonzero(known)]
    nearest = np.full(x.shape, np.inf)
    for a, b in ends:
        (ax, ay), (bx, by) = person[a, :2], person[b, :2]
        long = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-6)
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / long, 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)))
    return nearest
