"""The host's types under the names of its sockets, for signatures: imported below `if TYPE_CHECKING` alone."""

from __future__ import annotations

from typing import Any

import torch
from comfy.clip_vision import ClipVisionModel as ClipVision
from comfy.controlnet import ControlBase as ControlNet
from comfy.latent_formats import LatentFormat
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher as Model
from comfy.samplers import KSAMPLER as Sampler
from comfy.samplers import CFGGuider as Guider
from comfy.sd import CLIP as Clip
from comfy.sd import VAE as Vae
from comfy.supported_models_base import BASE as ModelConfig

__all__ = [
    "BaseModel", "Clip", "ClipVision", "Conditioning", "ControlNet", "Guider", "Image", "Latent", "LatentFormat",
    "Mask", "Model", "ModelConfig", "ModelSampling", "PoseKeypoint", "Sampler", "Sigmas", "Vae",
]  # fmt: skip

Image = torch.Tensor  # [B,H,W,C] in 0..1
Mask = torch.Tensor  # [B,H,W] in 0..1
Sigmas = torch.Tensor  # [steps + 1], falling
Latent = dict[str, Any]  # "samples" [B,C,h,w], and what rides along
Conditioning = list[list]  # of [tensor [B,tokens,width], dict]
PoseKeypoint = list[dict]  # a frame a picture, as OpenPose writes it
ModelSampling = torch.nn.Module  # sigmas and timesteps of a model
