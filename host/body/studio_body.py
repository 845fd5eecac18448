"""The studio backend of Detect Body: the pack's own small network, for drawn figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import comfy.model_management as management
import numpy as np
import torch
from PIL import Image

from ...craft.body.labels import ATR, PARTS, mirrored
from ...models.studio import WEIGHTS as STUDIO_FOLDER
from ...models.studio import body_network as net
from ..managed_network import patcher_class
from .found import Backend, Found

WEIGHTS = STUDIO_FOLDER / "body.safetensors"
SOURCE = "studio: network for drawn figures"
DOUBT = "trained on drawn figures: on photographs it is a guess"
FILLED = 0.9  # share of the box that a figure fills


def studio_backend(weights: Path = WEIGHTS) -> Backend:
    """Ready to run; raises ValueError when the pack's weights are missing."""
    if not weights.is_file():
        raise ValueError(
            f"The studio body network is not there ({weights.name}); restore the pack's models/studio/weights, train it"
            " with `python dev.py train body`, or choose the photo backend."
        )
    network = net.load_network(weights)
    patcher = patcher_class()(
        network, load_device=management.get_torch_device(), offload_device=management.unet_offload_device()
    )

    @torch.no_grad()
    def run(image: np.ndarray) -> Found:
        management.load_model_gpu(patcher)

        def look(frame: Frame) -> net.Answer:
            small = (
                torch.from_numpy(np.array(frame.shrink(image))).to(patcher.load_device).float().movedim(-1, 0)[None]
                / 255
            )
            return net.look(patcher.model, small, (mirrored(PARTS), mirrored(ATR)))

        # The network was trained on figures that fill the picture: a small one is found first, then looked at closely.
        frame = Frame.whole(image.shape[1], image.shape[0])
        answer = look(frame)
        closer = frame.around(frame.labels(answer.parts) > 0)
        if closer is not None:
            frame, answer = closer, look(closer)
        joints = frame.joints(net.read_joints(answer.heat)[0])
        parts, garments = (frame.labels(logits) for logits in (answer.parts, answer.garments))
        somebody = (joints[:, 2] > 0).sum() >= 3 and parts.any()
        people = joints[None] if somebody else np.zeros((0, 18, 3), np.float32)
        return Found(people, parts, garments, parts > 0, SOURCE, (DOUBT,))

    return run


@dataclass(frozen=True)
class Frame:
    """A box of the picture, as wide and high as 3 to 4, that the network looks at; the border continues outside.

    left, top, side: the box in picture pixels, `side` its width. width, height: the picture's.
    """

    left: float
    top: float
    side: float
    width: int
    height: int

    @classmethod
    def whole(cls, width: int, height: int) -> Frame:
        return cls.centred(width / 2, height / 2, max(width, height * net.WIDTH / net.HEIGHT), width, height)

    @classmethod
    def centred(cls, x: float, y: float, side: float, width: int, height: int) -> Frame:
        return cls(x - side / 2, y - side * net.HEIGHT / net.WIDTH / 2, side, width, height)

    def around(self, person: np.ndarray) -> Frame | None:
        """A box in which the person fills nine tenths, or None when this one is near enough to that."""
        rows, columns = np.flatnonzero(person.any(1)), np.flatnonzero(person.any(0))
        if len(rows) < 4 or len(columns) < 4:
            return None
        wide, tall = np.ptp(columns) + 1, np.ptp(rows) + 1
        side = max(wide, tall * net.WIDTH / net.HEIGHT) / FILLED
        if side > 0.85 * self.side:
            return None
        middle = columns[0] + wide / 2, rows[0] + tall / 2
        return Frame.centred(*middle, side, self.width, self.height)

    @property
    def scale(self) -> float:
        """Picture pixels for each pixel of the network."""
        return self.side / net.WIDTH

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """uint8 [256,192,3] of the box."""
        corners = np.array([self.left, self.top, self.left + self.side, self.top + net.HEIGHT * self.scale])
        margin = max(0, int(np.ceil(max(-corners[:2].min(), corners[2] - self.width, corners[3] - self.height))))
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        filtering = Image.Resampling.BOX if self.scale > 1 else Image.Resampling.BILINEAR
        box = tuple(np.clip(corners + margin, 0, [padded.shape[1], padded.shape[0]] * 2).tolist())
        return np.asarray(Image.fromarray(padded).resize((net.WIDTH, net.HEIGHT), filtering, box))

    def joints(self, joints: np.ndarray) -> np.ndarray:
        """[18,3] in the network's pixels -> in the picture's; what lies outside is absent."""
        joints = joints.copy()
        joints[:, :2] = joints[:, :2] * self.scale + (self.left, self.top)
        outside = (joints[:, 0] < 0) | (joints[:, 1] < 0) | (joints[:, 0] >= self.width) | (joints[:, 1] >= self.height)
        joints[outside | (joints[:, 2] <= 0)] = 0
        return joints

    def labels(self, logits: torch.Tensor) -> np.ndarray:
        """[1,18,256,192] -> uint8 [H,W]: the classes are compared after smooth scaling, so outlines are no
        staircase.
        """
        x = ((torch.arange(self.width) + 0.5 - self.left) / self.side) * 2 - 1
        y = ((torch.arange(self.height) + 0.5 - self.top) / (net.HEIGHT * self.scale)) * 2 - 1
        rows = []
        for strip in y.split(256):  # 18 planes of a large picture at once would not fit
            grid = torch.stack(torch.meshgrid(x, strip, indexing="xy"), -1)[None].to(logits.device)
            large = torch.nn.functional.grid_sample(logits.float(), grid, padding_mode="border", align_corners=False)
            labels = large.argmax(1)[0]
            labels[(grid[0].abs() > 1).any(-1)] = 0
            rows.append(labels.to(torch.uint8).cpu().numpy())
        return np.concatenate(rows)
