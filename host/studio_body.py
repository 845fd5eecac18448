"""The studio backend of Detect Body: the pack's own small network, for drawn figures."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management as management
import comfy.model_patcher
import numpy as np
import torch
from PIL import Image

from ..models.body import studio_network as net
from .body_backends import Backend, Found

WEIGHTS = Path(__file__).resolve().parent.parent / "models" / "studio" / "weights" / "body.safetensors"
SOURCE = "studio: network for drawn figures"


def studio_backend(weights: Path = WEIGHTS) -> Backend:
    """Ready to run; raises ValueError when the pack's weights are missing."""
    if not weights.is_file():
        raise ValueError(
            f"The studio body network is not there ({weights.name}); restore the pack's models/studio/weights, train it with "
            "`python dev.py train body`, or choose the photo backend."
        )
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    network = net.load_network(weights)
    patcher = kind(network, load_device=management.get_torch_device(), offload_device=management.unet_offload_device())

    @torch.no_grad()
    def run(image: np.ndarray) -> Found:
        management.load_model_gpu(patcher)
        frame = Frame(image.shape[1], image.shape[0])
        small = torch.from_numpy(frame.shrink(image)).to(patcher.load_device).float().movedim(-1, 0)[None] / 255
        answer = patcher.model(small)
        joints = frame.joints(net.read_joints(answer.heat)[0])
        parts, garments = (frame.labels(logits) for logits in (answer.parts, answer.garments))
        people = joints[None] if (joints[:, 2] > 0).sum() >= 3 and parts.any() else joints[:0][None].reshape(0, 18, 3)
        return Found(people, parts, garments, parts > 0, SOURCE, ("trained on drawn figures: on photographs it is a guess",))

    return run


class Frame:
    """The picture fitted into the network's 96 x 128 pixels, its border continued, and back."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.scale = max(width / net.WIDTH, height / net.HEIGHT)
        self.inner = (max(1, min(net.WIDTH, round(width / self.scale))), max(1, min(net.HEIGHT, round(height / self.scale))))
        self.left, self.top = (net.WIDTH - self.inner[0]) // 2, (net.HEIGHT - self.inner[1]) // 2

    def shrink(self, image: np.ndarray) -> np.ndarray:
        small = np.asarray(Image.fromarray(image).resize(self.inner, Image.Resampling.BOX if self.scale > 1 else Image.Resampling.BILINEAR))
        right, bottom = net.WIDTH - self.inner[0] - self.left, net.HEIGHT - self.inner[1] - self.top
        return np.pad(small, ((self.top, bottom), (self.left, right), (0, 0)), mode="edge")

    def joints(self, joints: np.ndarray) -> np.ndarray:
        joints = joints.copy()
        joints[:, 0] = (joints[:, 0] - self.left) * self.width / self.inner[0]
        joints[:, 1] = (joints[:, 1] - self.top) * self.height / self.inner[1]
        outside = (joints[:, 0] < 0) | (joints[:, 1] < 0) | (joints[:, 0] >= self.width) | (joints[:, 1] >= self.height)
        joints[outside | (joints[:, 2] <= 0)] = 0
        return joints

    def labels(self, logits: torch.Tensor) -> np.ndarray:
        """[1,18,128,96] -> uint8 [H,W]: the classes are compared after smooth scaling, so outlines are no staircase."""
        inside = logits[..., self.top : self.top + self.inner[1], self.left : self.left + self.inner[0]].float()
        size = (self.height, self.width)
        large = torch.nn.functional.interpolate(inside, size, mode="bilinear", align_corners=False, antialias=self.scale < 1)
        return large.argmax(1)[0].to(torch.uint8).cpu().numpy()
