"""A map of bare body parts from a pose and a silhouette: every pixel of the person goes to its nearest bone.

Stands in for a parser where there is only a pose; judged by eye, and called rough wherever it is shown.
"""

from __future__ import annotations

import numpy as np

from . import keypoints as kp
from .body_parts import Body, part_mask
from .labels import PARTS
from .part_names import BOTH_SIDES

# Smaller parts win where capsules overlap; the order is the order of drawing.
DRAWN = (
    "torso", "right thigh", "left thigh", "hips", "right shin", "left shin", "right foot", "left foot", "neck",
    "right upper arm", "left upper arm", "right forearm", "left forearm", "right hand", "left hand", "hair", "face",
)  # fmt: skip


def label_parts(joints: np.ndarray, person: np.ndarray) -> np.ndarray:
    """uint8 [H,W] part labels (`labels.PARTS`) of one person. joints [18,3] in pixels, person bool [H,W]."""
    height, width = person.shape
    body = Body(joints, width, height)
    labels = np.zeros((height, width), np.uint8)
    for name in DRAWN:
        if not _joints_known(body, name):
            continue
        part, hips = part_mask(body, name), body.hips_middle()
        if name == "hips" and hips is not None:
            part &= _hip_band(body, hips)
        labels[part] = PARTS.index(name)
    return fill_to_silhouette(labels, person)


def fill_to_silhouette(labels: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Labels cut to the silhouette, and its unlabelled pixels given the nearest label."""
    from scipy.ndimage import distance_transform_edt

    inside = np.where(person, labels, 0).astype(np.uint8)
    if not inside.any():
        return inside
    rows, cols = distance_transform_edt(inside == 0, return_distances=False, return_indices=True)
    return np.where(person, inside[rows, cols], 0).astype(np.uint8)


def _hip_band(body: Body, hips: np.ndarray) -> np.ndarray:
    """From a little above the hip joints to where the legs part: the capsule of the hips takes too much of both."""
    rows, cols = np.ogrid[: body.height, : body.width]
    (x, y), (dx, dy) = hips, body.down()
    along = (cols - x) * dx + (rows - y) * dy
    return (along > -0.2 * body.torso) & (along < 0.14 * body.torso)


def _joints_known(body: Body, name: str) -> bool:
    side, _, single = name.partition(" ")
    if single in BOTH_SIDES:
        index = {
            "upper arm": (2, 3),
            "forearm": (3, 4),
            "hand": (3, 4),
            "thigh": (8, 9),
            "shin": (9, 10),
            "foot": (10,),
        }[single]
        return body.has(*(kp.MIRRORED[j] if side == "left" else j for j in index))
    return {"hips": body.has(8, 11), "torso": body.has(2, 5, 8, 11), "neck": body.has(1)}.get(name, body.has(0))
