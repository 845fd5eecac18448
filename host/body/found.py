"""What a body backend finds in one picture, and a find made from joints alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...craft.body.body_parts import Body, parts_mask
from ...craft.body.keypoints import person_index
from ...craft.body.part_labels import label_parts
from ...craft.body.part_names import parse_parts


@dataclass(frozen=True)
class Found:
    """people: float32 [P,18,3] in pixels. parts, garments: uint8 [H,W] of the first person, or None. person: bool
    [H,W].
    """

    people: np.ndarray
    parts: np.ndarray | None
    garments: np.ndarray | None
    person: np.ndarray | None
    source: str
    notes: tuple[str, ...] = ()


Backend = Callable[[np.ndarray], Found]


def from_joints(people: np.ndarray, person: int, width: int, height: int, source: str) -> Found:
    """A find from joints alone [P,18,3]: parts and silhouette are the chosen person's own capsules, no garments."""
    chosen = person_index(people, person)
    order = [chosen, *(i for i in range(len(people)) if i != chosen)]
    body = Body(people[chosen], width, height)
    silhouette = parts_mask(body, parse_parts("whole body"))
    notes = tuple(dict.fromkeys([*body.notes, "the silhouette is drawn from the pose"]))
    return Found(people[order], label_parts(body.joints, silhouette), None, silhouette, source, notes)
