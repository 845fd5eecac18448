"""A person made ready for try-on: cropped, the place of the garments filled with the pose, encoded.

Follows FastFit's pipeline (released code; its steps 2-6): person in [-1,1], pose in [0,1] *inside* the mask, mask taken
to latent size by the top-left pixel of each cell. The host's VAE encodes the mean instead of a random sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ...craft.body.keypoints import read_keypoints
from ...craft.body.pose_drawing import PUBLISHED_THICKNESS, draw_pose
from ...craft.counts import check_count, own
from ...craft.picture.crop_and_stitch import CropPlan, plan_crop, resize
from ...craft.picture.mask_edges import feather_mask, grow_mask, hard_mask
from ..images import checked_mask, checked_picture

if TYPE_CHECKING:
    from ..host_types import Image, Model, PoseKeypoint, Vae
    from .encoded_garment import GarmentKV


class Dressed(NamedTuple):
    """latent: the masked person's, as the VAE gives it [B,C,h,w]. mask: [B,1,h,w], 0 or 1. picture: what was encoded,
    [B,H,W,3] in 0..1. people, plan, paste: for the stitch; paste [B,H,W] is the feathered mask."""

    latent: torch.Tensor
    mask: torch.Tensor
    picture: torch.Tensor
    people: torch.Tensor
    plan: CropPlan
    paste: torch.Tensor


def dress(
    vae: Vae,
    person: torch.Tensor,
    mask: torch.Tensor,
    pose: PoseKeypoint | Image | None = None,
    *,
    size: tuple[int, int] | None,
    whole: bool,
    padding: float,
    grow: int,
    feather: int,
) -> Dressed:
    """person IMAGE [B,H,W,3], mask MASK [1 or B,H,W], pose None, IMAGE [1 or B,...] or POSE_KEYPOINT.

    size, whole, padding: see `plan_crop`. grow: pixels the mask is enlarged by before everything else. feather: pixels
    inside the mask over which the paste fades. Raises ValueError in one sentence for whatever cannot be dressed.
    """
    people = checked_picture(person, "person")
    marked = grow_mask(hard_mask(checked_mask(mask, "mask", people)), grow)
    cell = vae.spacial_compression_encode()
    plan = plan_crop(marked.float(), size, whole=whole, padding=padding, multiple=cell)
    inside = plan.crop_mask(marked.float())
    skeleton = None if pose is None else pose_picture(pose, plan)
    picture = fill_mask(plan.crop(people), inside, skeleton)
    latent = vae.encode(picture)
    return Dressed(
        latent, inside[:, None, ::cell, ::cell].to(latent), picture, people, plan, feather_mask(marked, feather)
    )


def fill_mask(people: torch.Tensor, inside: torch.Tensor, pose: torch.Tensor | None) -> torch.Tensor:
    """person * (1 - mask) + mask * pose, where the person is in [-1,1] and the pose in [0,1]; without pose mid grey.

    All in the host's 0..1 pixels: a pose value p becomes (1 + p) / 2. people [B,h,w,3], inside [B,h,w] 0 or 1.
    """
    filled = torch.full_like(people, 0.5) if pose is None else (1 + pose) / 2
    return torch.where(inside[..., None] > 0.5, filled, people)


def pose_picture(pose: PoseKeypoint | Image, plan: CropPlan) -> torch.Tensor:
    """The pose of every crop as IMAGE [1 or B,h,w,3]: a drawn one is cropped with the person, keypoints are drawn."""
    if isinstance(pose, torch.Tensor) and pose.ndim == 4:
        return _crop_pose_picture(checked_picture(pose, "pose"), plan)
    frames = read_keypoints(pose, *plan.picture)
    check_count(len(frames), "poses", len(plan.boxes), "people")
    drawn = []
    for row in range(len(plan.boxes)):
        points = plan.crop_points(own(frames, row), row)
        scale = plan.size[1] / plan.boxes[row].height
        drawn.append(draw_pose(points, *plan.size, thickness=max(1.0, _thickness(plan.picture) * scale)))
    return torch.from_numpy(np.stack(drawn)).float() / 255


def _thickness(picture: tuple[int, int]) -> float:
    """Radius of the skeleton in a whole picture: the published 4 pixels where its short side is 512."""
    return PUBLISHED_THICKNESS * min(picture) / 512


def _crop_pose_picture(pose: torch.Tensor, plan: CropPlan) -> torch.Tensor:
    check_count(len(pose), "pose pictures", len(plan.boxes), "people")
    return plan.crop(torch.stack([resize(p, plan.picture) for p in pose]))


def conditioning(model: Model, vae: Vae, dressed: Dressed, kv: GarmentKV | None) -> tuple[list, list, dict]:
    """(positive, negative, LATENT) for any host sampler. kv: GarmentKV, or None for plain self-attention.

    The person goes into both; the negative's garments are FastFit's zero latents. The text tensor is zeros, as the
    model has no text attention. Raises ValueError for garments or a VAE of another latent format, or outfits that do
    not fit the people.
    """
    from .fastfit_model import FastFitModel
    from .garment_conditioning import check_latents
    from .garment_kv import conditioning_refs

    if not isinstance(model.model, FastFitModel):
        raise ValueError(
            f"The MODEL is {type(model.model).__name__}, not a try-on model; connect the one that Load Try-On Model "
            "gives."
        )
    latent_format, people = model.model.latent_format, len(dressed.people)
    if dressed.latent.shape[1] != latent_format.latent_channels:
        raise ValueError(
            f"The VAE gives {dressed.latent.shape[1]} latent channels, the try-on model takes "
            f"{latent_format.latent_channels}; connect the VAE that Load Try-On Model gives."
        )
    positive, negative = conditioning_refs(kv) if kv is not None else ({}, {})
    for refs in (*positive.values(), *negative.values()):
        check_latents(refs, latent_format)
        check_count(len(refs.outfits), "outfits", people, "people")
    shared = {"concat_latent_image": dressed.latent, "concat_mask": dressed.mask}
    text = torch.zeros(1, 77, 768)
    latent = {"samples": torch.zeros_like(dressed.latent)}
    return [[text, {**shared, **positive}]], [[text, {**shared, **negative}]], latent
