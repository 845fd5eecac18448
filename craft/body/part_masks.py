"""From poses, label maps and an artist's choice of parts to the two masks of an edit: a hard one and a feathered
one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ..counts import common_count, own
from ..picture.mask_edges import feather_mask
from ..picture.mask_shapes import dilate
from . import published_boxes
from .body_parts import Body, parts_mask
from .found_body import OTHERS, choose_labelled
from .part_edits import PartEdits, edits_mask, figure_joints, moved_joints
from .part_names import STYLES, parse_parts


@dataclass(frozen=True)
class PartChoice:
    """What an artist asks for. Lengths in pixels except `length` (see `body_parts.part_mask`; None: as worn)."""

    parts: str = ""
    edits: PartEdits = field(default_factory=PartEdits)
    protect: str = ""
    style: str = STYLES[0]
    length: float | None = None
    grow: float = 0.0
    feather: float = 0.0
    person: int = 0
    attribute: str = "A1"
    category: str = "Dress"


def choice_masks(
    choice: PartChoice,
    size: tuple[int, int],
    frames: list[np.ndarray] | None,
    parts: np.ndarray | None = None,
    garments: np.ndarray | None = None,
    count: int = 1,
    owners: list[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Masks of a batch: hard bool [B,H,W], soft float32 [B,H,W], and sentences about what was mirrored or left out.

    size: (width, height). frames: people [P,18,3] for each picture (one serves all), or None: the editor's own figure.
    parts, garments: uint8 [B,H,W] label maps or None. count: how many pictures there are.
    owners: joints [18,3] of those whose labels the maps are; those of somebody else are not used.
    Raises ValueError when a mask would be empty, with the reasons.
    """
    width, height = size
    poses, label_maps = (None if batch is None else len(batch) for batch in (frames, parts))
    count = common_count(pictures=count, poses=poses, label_maps=label_maps)
    hard, soft, notes = [], [], []
    for index in range(count):
        people = None if frames is None else own(frames, index)
        own_parts, own_garments = (None if maps is None else own(maps, index) for maps in (parts, garments))
        mask, said = _one_mask(
            choice, width, height, people, own_parts, own_garments, None if owners is None else own(owners, index)
        )
        said = [note if count == 1 else f"picture {index + 1}: {note}" for note in said]
        if not mask.any():
            if not (choice.parts.strip() or choice.edits.parts or choice.style == "published boxes"):
                said = ["no part is chosen: write parts (such as: sleeves + collar) or select them in the editor"]
            reasons = "; ".join(dict.fromkeys(said)) or "nothing was drawn"
            raise ValueError(f"The part mask is empty ({reasons}).")
        notes += said
        hard.append(mask)
        soft.append(feather_mask(torch.from_numpy(mask)[None], round(choice.feather))[0].numpy())
    return np.stack(hard), np.stack(soft), list(dict.fromkeys(notes))


def _one_mask(
    choice: PartChoice,
    width: int,
    height: int,
    people: np.ndarray | None,
    parts: np.ndarray | None,
    garments: np.ndarray | None,
    owner: np.ndarray | None,
) -> tuple[np.ndarray, list[str]]:
    if people is None:
        joints, notes = (
            figure_joints(choice.edits, width, height),
            ["no pose is connected: the parts are those of the editor's own figure"],
        )
    else:
        joints, theirs = choose_labelled(people, choice.person, owner)
        notes = [] if theirs else [OTHERS]
        parts, garments = (parts, garments) if theirs else (None, None)
    body = Body(moved_joints(choice.edits, joints, width, height), width, height, parts, garments)
    if choice.style == "published boxes":
        mask = _published(choice, people if people is not None else body.joints[None], width, height, notes)
    else:
        terms = parse_parts(choice.parts)
        mask = parts_mask(body, terms, choice.style, choice.length)
        mask |= edits_mask(choice.edits, body, choice.style, choice.length)
    mask = dilate(mask, choice.grow)
    protected = parse_parts(choice.protect)
    if protected and mask.any():
        kept = Body(body.joints, width, height, parts, garments)
        # A label map knows the true outline of what is protected; capsules only where there is none.
        guard = parts_mask(kept, protected, STYLES[1] if parts is not None else STYLES[0])
        if not (mask & ~guard).any():
            notes.append(f"the protected parts ({choice.protect}) cover all of it")
        mask &= ~guard
    return mask, [*notes, *body.notes]


def _published(choice: PartChoice, people: np.ndarray, width: int, height: int, notes: list[str]) -> np.ndarray:
    scale = min(width, height) / published_boxes.DETECT_SIZE
    if scale != 1:
        notes.append(f"the published offsets are for a short side of 512 pixels: scaled by {scale:.3g}")
    rule = published_boxes.rule_of(choice.attribute, choice.category)
    boxes = published_boxes.published_boxes(people, rule, scale)
    if any(x1 >= x2 or y1 >= y2 for x1, y1, x2, y2 in boxes):
        notes.append("a published box came out inverted (bent arm or back view): its corners were sorted")
    return published_boxes.boxes_mask(boxes, width, height)
