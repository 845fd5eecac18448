"""The part of a photograph that the photo parser looks at: a box round the person's joints, at the network's size.

Joints are float32 [18,3] of COCO-18 (`craft/body/keypoints.py`): x, y in picture pixels and confidence, absent ones 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 32  # both sides of a frame are multiples of the network's coarsest stride
LONG = 512  # long side of a frame round a standing figure, which is half as wide
NARROWEST = 0.5  # width / height of the narrowest frame; the widest is the inverse
MARGINS = {"top": 0.55, "side": 0.6, "bottom": 0.4}  # beyond the joints, in torso lengths
LEGS = 2.5  # torso lengths from the hips to below the feet, where no ankle is known
NECK, SHOULDERS, HIPS, ANKLES = 1, (2, 5), (8, 11), (10, 13)


@dataclass(frozen=True)
class Frame:
    """A box of a picture: left, top and picture pixels for each frame pixel; width, height of the frame in pixels."""

    left: float
    top: float
    scale: float
    width: int
    height: int

    def matrix(self) -> Tensor:
        """[2,3] from frame pixels to picture pixels."""
        return torch.tensor([[self.scale, 0.0, self.left], [0.0, self.scale, self.top]])

    def joints(self, joints: np.ndarray) -> np.ndarray:
        """[18,3] in picture pixels -> in frame pixels; what lies outside the frame is absent."""
        moved = joints.copy()
        moved[:, :2] = (joints[:, :2] - (self.left, self.top)) / self.scale
        inside = (moved[:, :2] >= 0).all(1) & (moved[:, 0] < self.width) & (moved[:, 1] < self.height)
        moved[~inside | (joints[:, 2] <= 0)] = 0
        return moved.astype(np.float32)


def person_box(joints: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    """left, top, right, bottom of the person in a picture of width x height pixels; the whole picture where shoulders
    or hips are unknown. Legs without a known ankle (long skirts hide them) reach as far as legs can.
    """
    there = joints[:, 2] > 0
    if not (there[list(SHOULDERS)].any() and there[list(HIPS)].any()):
        return 0.0, 0.0, float(width), float(height)
    shoulders, hips = (joints[[j for j in pair if there[j]], :2].mean(0) for pair in (SHOULDERS, HIPS))
    left, top = joints[there, :2].min(0)
    right, bottom = joints[there, :2].max(0)
    torso = max(float(np.linalg.norm(hips - shoulders)), 0.15 * float(bottom - top), 2.0)
    bottom += MARGINS["bottom"] * torso
    if not there[list(ANKLES)].all():
        bottom = max(bottom, float(hips[1]) + LEGS * torso)
    side, above = MARGINS["side"] * torso, MARGINS["top"] * torso
    return max(0.0, left - side), max(0.0, top - above), min(float(width), right + side), min(float(height), bottom)


def frame_size(aspect: float, long: int = LONG) -> tuple[int, int]:
    """(width, height) of a frame for a box of this width / height; all frames have about long^2 / 2 pixels."""
    aspect, area = float(np.clip(aspect, NARROWEST, 1 / NARROWEST)), long * long * NARROWEST
    width = max(1, round(float(np.sqrt(area * aspect)) / CELL)) * CELL
    return width, max(1, round(area / width / CELL)) * CELL


def frame_round(box: tuple[float, float, float, float], long: int = LONG) -> Frame:
    """The frame that holds a box (left, top, right, bottom), centred on it."""
    left, top, right, bottom = box
    wide, tall = max(right - left, 1.0), max(bottom - top, 1.0)
    width, height = frame_size(wide / tall, long)
    scale = max(wide / width, tall / height)
    return Frame((left + right - scale * width) / 2, (top + bottom - scale * height) / 2, scale, width, height)


def sample(picture: Tensor, matrix: Tensor, size: tuple[int, int], mode: str = "bilinear", step: int = 1) -> Tensor:
    """[B,C,h,w] read where `matrix` [B,2,3] (from frame pixels to picture pixels) says, at (width, height) / step.

    With "nearest", what lies outside the picture is 0; with "bilinear" the border goes on.
    """
    width, height = size[0] // step, size[1] // step
    x, y = (torch.arange(n, dtype=torch.float32) + 0.5 for n in (width, height))
    here = torch.stack([*torch.meshgrid(x * step, y * step, indexing="xy"), torch.ones(height, width)], -1)
    there = torch.einsum("hwk,bjk->bhwj", here.to(matrix), matrix)
    grid = there / there.new_tensor(picture.shape[:-3:-1]) * 2 - 1
    padding = "zeros" if mode == "nearest" else "border"
    return F.grid_sample(picture, grid, mode=mode, padding_mode=padding, align_corners=False)


def crop(picture: Tensor, frame: Frame) -> Tensor:
    """float [B,C,height,width] of a frame of pictures [B,C,H,W]; large pictures are averaged first, never skipped."""
    factor, matrix = max(1, int(frame.scale)), frame.matrix()
    if factor > 1:
        picture = F.avg_pool2d(picture, factor, ceil_mode=True)
    return sample(picture, (matrix / factor).to(picture)[None].expand(len(picture), 2, 3), (frame.width, frame.height))


def put_back(scores: Tensor, frame: Frame, width: int, height: int) -> Tensor:
    """Scores [B,C,h,w] of a frame at the places of a width x height picture, smoothly scaled; the border goes on."""
    inverse = torch.tensor([[1.0, 0.0, -frame.left], [0.0, 1.0, -frame.top]]) / frame.scale
    rescaled = inverse * torch.tensor([[scores.shape[-1] / frame.width], [scores.shape[-2] / frame.height]])
    return sample(scores, rescaled.to(scores)[None].expand(len(scores), 2, 3), (width, height))


def inside(frame: Frame, width: int, height: int) -> Tensor:
    """bool [height,width]: the picture's pixels that the frame covers."""
    x = (torch.arange(width) + 0.5 - frame.left) / frame.scale
    y = (torch.arange(height) + 0.5 - frame.top) / frame.scale
    return ((y >= 0) & (y < frame.height))[:, None] & ((x >= 0) & (x < frame.width))[None]
