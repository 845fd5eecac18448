"""A garment from a sketch and words onto a person: the host's inpaint conditioning and ControlNets on any checkpoint.

Sampling starts from the person without the old garment (its place is grey), never from a picture that holds the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import node_helpers
import torch

from ...craft.picture.crop_and_stitch import CropPlan, resize
from ..images import checked_picture
from ..tryon.dress import dress, pose_picture

if TYPE_CHECKING:
    from ..host_types import Conditioning, ControlNet, Image, Mask, PoseKeypoint, Vae


class Composed(NamedTuple):
    """positive, negative, latent for a sampler; people, plan, paste for the stitch; hint: the sketch as it is used."""

    positive: list
    negative: list
    latent: dict
    people: torch.Tensor
    plan: CropPlan
    paste: torch.Tensor
    hint: torch.Tensor


def compose(
    positive: Conditioning, negative: Conditioning, vae: Vae, person: Image, mask: Mask, sketch: Image,
    control_net: ControlNet, *, strength: float, end: float, lines: str, placing: str,
    pose: PoseKeypoint | Image | None = None, pose_control_net: ControlNet | None = None, pose_strength: float = 1.0,
    whole: bool = False, padding: float = 0.1, grow: int = 0, feather: int = 8,
) -> Composed:  # fmt: skip
    """person IMAGE, mask MASK (1 = repaint), sketch IMAGE [1 or B, H, W, 3]; pose IMAGE or POSE_KEYPOINT.

    Raises ValueError for a pose without its ControlNet or the other way round.
    """
    if (pose is None) != (pose_control_net is None):
        raise ValueError("A pose needs a pose ControlNet and the other way round: connect both or neither.")
    dressed = dress(vae, person, mask, None, size=None, whole=whole, padding=padding, grow=grow, feather=feather)
    drawing = checked_picture(sketch, "sketch")
    drawing = 1.0 - drawing if lines == "dark on light" else drawing
    height, width = dressed.picture.shape[1:3]
    if placing == "into the mask":
        hint = into_masks(drawing, dressed.mask, (height, width))
    else:
        hint = dressed.plan.crop(_like_people(drawing, dressed.people))
    values = {"concat_latent_image": dressed.latent, "concat_mask": dressed.mask}
    positive, negative = (node_helpers.conditioning_set_values(one, values) for one in (positive, negative))
    positive, negative = _control(positive, negative, control_net, hint, strength, end, vae)
    if pose is not None:
        skeleton = pose_picture(pose, dressed.plan)
        positive, negative = _control(positive, negative, pose_control_net, skeleton, pose_strength, 1.0, vae)
    latent = {"samples": dressed.latent, "noise_mask": dressed.mask}
    return Composed(positive, negative, latent, dressed.people, dressed.plan, dressed.paste, hint)


def _control(positive, negative, control_net, hint, strength, end, vae):
    import nodes as host_nodes

    apply = host_nodes.ControlNetApplyAdvanced().apply_controlnet
    return apply(positive, negative, control_net, hint, strength, 0.0, end, vae=vae)


def _like_people(drawing: torch.Tensor, people: torch.Tensor) -> torch.Tensor:
    if drawing.shape[1:3] != people.shape[1:3]:
        raise ValueError(
            f"The sketch is {drawing.shape[2]}x{drawing.shape[1]}, the person {people.shape[2]}x{people.shape[1]}:"
            " draw it over the person's picture, or choose the placing 'into the mask'."
        )
    return drawing.expand(len(people), -1, -1, -1)


def into_masks(drawing: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Light lines on black [1 or B, H, W, 3], cut to what is drawn, fitted into each mask [B, 1, h, w]'s box of a
    canvas of `size` (height, width); its proportions are kept, its top lies at the mask's top."""
    height, width = size
    canvas = torch.zeros(len(masks), height, width, 3)
    for row, mask in enumerate(masks[:, 0]):
        picture = _drawn(drawing[row % len(drawing)])
        top, bottom, left, right = _box(mask > 0.5, mask.shape)
        top, bottom = round(top * height / mask.shape[0]), round(bottom * height / mask.shape[0])
        left, right = round(left * width / mask.shape[1]), round(right * width / mask.shape[1])
        scale = min((bottom - top) / picture.shape[0], (right - left) / picture.shape[1])
        high, wide = max(1, int(picture.shape[0] * scale)), max(1, int(picture.shape[1] * scale))
        start = left + (right - left - wide) // 2
        canvas[row, top : top + high, start : start + wide] = resize(picture, (wide, high))
    return canvas


def _drawn(drawing: torch.Tensor) -> torch.Tensor:
    top, bottom, left, right = _box(drawing.amax(-1) > 0.2, drawing.shape[:2])
    return drawing[top:bottom, left:right]


def _box(marked: torch.Tensor, shape) -> tuple[int, int, int, int]:
    rows, columns = torch.nonzero(marked.any(1)).flatten(), torch.nonzero(marked.any(0)).flatten()
    if not len(rows):
        return 0, shape[0], 0, shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
