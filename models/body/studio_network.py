"""The studio body network: joints, body parts and garments of drawn figures, at 96 x 128 pixels.

A small U-shaped convolution network with three heads: heat maps of the 18 joints at half size, part labels and ATR
labels
at full size. Plain torch; under 1 M parameters.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEIGHT = 96, 128
JOINTS, PARTS, GARMENTS = 18, 18, 18
HEAT = 2  # heat maps are this much smaller than the input
SURE = 0.25  # a joint whose heat map stays below this is absent


@dataclass(frozen=True)
class BodyConfig:
    widths: tuple[int, ...] = (32, 48, 64, 80, 80)  # at 1/2, 1/4, 1/8, 1/16, 1/32 of the input
    blocks: int = 1


class Answer(NamedTuple):
    """heat [B,18,64,48] logits; parts, garments [B,18,128,96] logits."""

    heat: Tensor
    parts: Tensor
    garments: Tensor


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.second, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.first(x)))
        return F.relu(x + self.norm2(self.second(h)))


class _Down(nn.Module):
    def __init__(self, before: int, after: int, blocks: int):
        super().__init__()
        self.shrink, self.norm = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(after)
        self.blocks = nn.Sequential(*(_Block(after) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(F.relu(self.norm(self.shrink(x))))


class _Up(nn.Module):
    def __init__(self, deep: int, fine: int):
        super().__init__()
        self.narrow = nn.Conv2d(deep, fine, 1, bias=False)
        self.norm = nn.BatchNorm2d(fine)
        self.block = _Block(fine)

    def forward(self, deep: Tensor, fine: Tensor) -> Tensor:
        raised = F.interpolate(self.norm(self.narrow(deep)), scale_factor=2, mode="bilinear", align_corners=False)
        return self.block(F.relu(raised + fine))


class BodyNetwork(nn.Module):
    def __init__(self, config: BodyConfig = BodyConfig()):  # noqa: B008  frozen
        super().__init__()
        self.config = config
        widths = (3, *config.widths)
        self.down = nn.ModuleList(_Down(a, b, config.blocks) for a, b in zip(widths, widths[1:]))
        self.up = nn.ModuleList(_Up(b, a) for a, b in zip(config.widths[-2::-1], config.widths[:0:-1]))
        first = config.widths[0]
        self.heat = nn.Conv2d(first, JOINTS, 3, padding=1)
        self.labels = nn.Sequential(
            nn.Conv2d(first + 12, 2 * first, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * first, 4 * (PARTS + GARMENTS), 1)
        )

    def forward(self, picture: Tensor) -> Answer:
        """picture [B,3,128,96] in 0..1."""
        x, steps = picture * 2 - 1, []
        for down in self.down:
            x = down(x)
            steps.append(x)
        for up, fine in zip(self.up, steps[-2::-1]):
            x = up(x, fine)
        # The full-size pixels go to the label head as they are: edges lie between the half-size features.
        sharp = F.pixel_unshuffle(picture * 2 - 1, 2)
        labels = F.pixel_shuffle(self.labels(torch.cat([x, sharp], 1)), 2)
        return Answer(self.heat(x), labels[:, :PARTS], labels[:, PARTS:])


def read_joints(heat: Tensor) -> np.ndarray:
    """float32 [B,18,3]: x, y in pixels of the 96 x 128 input and the peak's height; absent joints are (0, 0, 0).

    The place is the centre of mass of the 5 x 5 cells round the peak.
    """
    probability = heat.float().sigmoid()
    batch, joints, height, width = probability.shape
    peak, index = probability.flatten(2).max(2)
    row, column = index // width, index % width
    rows, columns = torch.arange(height, device=heat.device), torch.arange(width, device=heat.device)
    near = ((rows[None, None, :, None] - row[..., None, None]).abs() <= 2) & (
        (columns[None, None, None, :] - column[..., None, None]).abs() <= 2
    )
    weight = probability * near
    total = weight.sum((2, 3)).clamp_min(1e-6)
    x = ((weight.sum(2) * columns).sum(2) / total + 0.5) * HEAT
    y = ((weight.sum(3) * rows).sum(2) / total + 0.5) * HEAT
    found = torch.stack([x, y, peak], 2) * (peak >= SURE)[..., None]
    return found.cpu().numpy().astype(np.float32)


def joint_heat(joints: Tensor, sigma: float = 1.2) -> Tensor:
    """Target heat maps [B,18,64,48] of joints [B,18,3] in input pixels: a Gaussian for each that is present."""
    rows = (torch.arange(HEIGHT // HEAT, device=joints.device) + 0.5) * HEAT
    columns = (torch.arange(WIDTH // HEAT, device=joints.device) + 0.5) * HEAT
    dx = (columns - joints[..., :1]) / (sigma * HEAT)
    dy = (rows - joints[..., 1:2]) / (sigma * HEAT)
    return torch.exp(-0.5 * (dy[..., :, None] ** 2 + dx[..., None, :] ** 2)) * (joints[..., 2, None, None] > 0)


def save_network(network: BodyNetwork, path: Path, note: str = "") -> None:
    """fp16 weights with the configuration as metadata."""
    import json

    from safetensors.torch import save_file

    tensors = {
        k: v.detach().half().contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    save_file(
        tensors, str(path), {"atelier": json.dumps({"format": "body", "network": asdict(network.config), "note": note})}
    )


def load_network(path: Path) -> BodyNetwork:
    """The network of a file that `save_network` wrote. Raises ValueError for any other file."""
    import json

    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        described = json.loads((file.metadata() or {}).get("atelier", "{}"))
        if described.get("format") != "body":
            raise ValueError(
                f"{path.name} is no studio body network (its metadata does not say so); restore the pack's own file."
            )
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118  no mapping
    settings = described["network"]
    network = BodyNetwork(BodyConfig(tuple(settings["widths"]), settings["blocks"]))
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(
            f"{path.name} lacks {missing[:3]} or has unknown {unexpected[:3]} tensors; restore the pack's own file."
        )
    return network.eval()
