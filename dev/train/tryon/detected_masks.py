"""Masks and poses as Detect Body (studio) and Agnostic Mask find them, in place of those drawn with the figures.

They leave edges of the old clothes standing and take in some hair and hands; a network that was only trained on the
drawn ones meets them for the first time in use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ....craft.body.agnostic_mask import agnostic_mask
from ....craft.body.body_parts import Body
from ....craft.body.labels import ATR, PARTS, mirrored
from ....craft.body.pose_drawing import draw_pose
from ....models.studio.body_network import load_network, look, read_joints

Found = tuple[np.ndarray, np.ndarray]


def open_detector(weights: Path, views: int = 8) -> Callable[[np.ndarray, tuple[str, ...]], Found]:
    """From body.safetensors in a folder: a function that takes a picture uint8 [3,H,W] and the garment categories and
    gives (mask uint8 [1,H,W] of 0 and 1, pose uint8 [3,H,W]). Raises ValueError where nothing of the mask is left.

    views: 8, as the node looks, or 1: outlines a little rougher, for an eighth of the time.
    """
    network = load_network(weights / "body.safetensors")

    def detect(person: np.ndarray, categories: tuple[str, ...]) -> Found:
        with torch.inference_mode():
            picture = torch.from_numpy(person)[None].float() / 255
            answer = look(network, picture, (mirrored(PARTS), mirrored(ATR))) if views > 1 else network(picture)
        joints = read_joints(answer.heat)[0]
        parts, garments = (a[0].argmax(0).byte().numpy() for a in (answer.parts, answer.garments))
        height, width = parts.shape
        mask = agnostic_mask(Body(joints, width, height, parts, garments), categories)
        pose = draw_pose(joints[None], width, height, "body").transpose(2, 0, 1)
        return mask.astype(np.uint8)[None], np.ascontiguousarray(pose)

    return detect
