"""HieraFashDiff's body-part boxes: fixed pixel offsets from joints, as its released code has them (attributes A1-A5).

The offsets belong to pictures whose short side is 512. Kept for parity and for artists who know them; the capsules of
`body_parts` scale with the body instead.
"""

from __future__ import annotations

import numpy as np

from .part_names import LOWER, UPPER

CATEGORIES = (*LOWER, *UPPER)
DETECT_SIZE = 512
# rule -> boxes; a corner is (joint, offset) for x1, y1, x2, y2, and the stand-in of a box's four corners for absent
# joints
RULES = {
    "lower": ((((3, -100), (8, 0), (6, 100), (13, 60)), (128, 285, 378, 638)),),
    "upper": ((((8, -20), (8, -60), (11, 20), (11, 20)), (188, 205, 317, 322)),),
    "sleeves": (
        (((2, -80), (2, -30), (4, 20), (4, 40)), (110, 42, 187, 338)),
        (((5, -15), (5, -30), (7, 40), (7, 40)), (307, 44, 387, 325)),
    ),
    "collar": ((((1, -60), (1, -40), (1, 60), (1, 40)), (190, 35, 190, 35)),),
}  # fmt: skip


def rule_of(attribute: str, category: str) -> str:
    """Which boxes an attribute ("A1".."A5", longer names are cut) and a garment category use.

    Raises ValueError for a category that the published table lacks (the original stops with an error there).
    """
    attribute = attribute[:2].upper()
    if attribute in ("A2", "A3"):
        return "sleeves"
    if attribute == "A4":
        return "collar"
    if attribute not in ("A1", "A5"):
        raise ValueError(f"Attribute {attribute!r} has no published boxes; expected A1 to A5.")
    if category in LOWER:
        return "lower"
    if category in UPPER:
        return "upper"
    raise ValueError(f"Category {category!r} has no published boxes; expected one of {', '.join(CATEGORIES)}.")


def published_boxes(people: np.ndarray, rule: str, scale: float = 1.0) -> list[list[int]]:
    """[x1, y1, x2, y2] of each box, not clamped. people: float [people,18,3] or [18,3], pixels of the picture.

    Of several people the last who has a joint gives it, as published (joints of people may mix). scale multiplies the
    offsets and the stand-ins; 1 is published, short side / 512 fits them to other sizes (reconstructed).
    """
    people = np.asarray(people, dtype=np.float64).reshape(-1, 18, 3)
    boxes = []
    for corners, stand_ins in RULES[rule]:
        box = []
        for axis, (joint, offset), stand_in in zip((0, 1, 0, 1), corners, stand_ins, strict=True):
            seen = [person[joint, axis] for person in people if person[joint, 2] > 0]
            start = int(seen[-1]) if seen else int(stand_in * scale)
            box.append(start + int(offset * scale))
        boxes.append(box)
    return boxes


def boxes_mask(boxes: list[list[int]], width: int, height: int) -> np.ndarray:
    """bool [height,width]: the union of the boxes. Corners in the wrong order are sorted, and what sticks out is cut.

    (The original slices an array instead: a negative corner wraps round and an inverted box is empty.)
    """
    mask = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in boxes:
        (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))
        mask[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = True
    return mask


def merge_segmenter_masks(masks: np.ndarray) -> np.ndarray:
    """The published use of a box-prompted segmenter: for each box take the last of its masks, widen by 7, unite.

    masks: bool [boxes, candidates, H, W]; returns bool [H,W]. The widening is a 15 x 15 square.
    """
    from scipy.ndimage import maximum_filter

    merged = np.zeros(masks.shape[-2:], bool)
    for candidates in masks:
        merged |= maximum_filter(candidates[-1].astype(np.uint8), size=15, mode="constant").astype(bool)
    return merged
