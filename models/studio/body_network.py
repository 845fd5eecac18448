"""The studio body network: joints, body parts and garments of drawn figures, at 192 x 256 pixels.

A small U-shaped convolution network looks at the picture at half size and gives heat maps of the 18 joints, part labels
and ATR labels; a shallow second head draws the labels' outlines at full size. Plain torch; under 1 M parameters.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEIGHT = 192, 256
HALF = 2  # the U-shaped network sees the picture this much smaller
JOINTS, PARTS, GARMENTS = 18, 18, 18
HEAT = 2 * HALF  # heat maps are this much smaller than the picture
SURE = 0.25  # a joint whose heat map stays below this is absent


@dataclass(frozen=True)
class BodyConfig:
    widths: tuple[int, ...] = (32, 48, 64, 80, 80)  # at 1/4, 1/8, 1/16, 1/32, 1/64 of the picture
    blocks: int = 1
    outline: int = 48  # width of the outline head


class Answer(NamedTuple):
    """heat [B,18,64,48] logits; parts, garments logits: [B,18,256,192], from `coarse` [B,18,128,96]."""

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
    def __init__(self, config: BodyConfig = BodyConfig()):
        super().__init__()
        self.config = config
        widths = (3, *config.widths)
        self.down = nn.ModuleList(_Down(a, b, config.blocks) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(_Up(b, a) for a, b in zip(config.widths[-2::-1], config.widths[:0:-1]))
        first = config.widths[0]
        self.heat = nn.Conv2d(first, JOINTS, 3, padding=1)
        self.labels = nn.Sequential(
            nn.Conv2d(first + 12, 2 * first, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * first, 4 * (PARTS + GARMENTS), 1)
        )

        entry = nn.Conv2d(first + 3 * HALF**2 + PARTS + GARMENTS, config.outline, 3, padding=1)
        last = nn.Conv2d(config.outline, HALF**2 * (PARTS + GARMENTS), 1)
        self.outline = nn.Sequential(entry, nn.ReLU(), last)
        assert last.bias is not None
        nn.init.zeros_(last.weight)  # untrained, the coarse labels are merely enlarged
        nn.init.zeros_(last.bias)

    def coarse(self, half: Tensor) -> tuple[Answer, Tensor]:
        """The answer at half size and the features [B,C,64,48]. half [B,3,128,96] in 0..1."""
        x, steps = half * 2 - 1, []
        for down in self.down:
            x = down(x)
            steps.append(x)
        for up, fine in zip(self.up, steps[-2::-1]):
            x = up(x, fine)
        # The half-size pixels go to the label head as they are: edges lie between the features.
        sharp = F.pixel_unshuffle(half * 2 - 1, 2)
        labels = F.pixel_shuffle(self.labels(torch.cat([x, sharp], 1)), 2)
        return Answer(self.heat(x), labels[:, :PARTS], labels[:, PARTS:]), x

    def outlined(self, picture: Tensor, coarse: Answer, features: Tensor) -> Answer:
        """The coarse labels at full size, put right along the outlines."""
        labels = torch.cat([coarse.parts, coarse.garments], 1)
        seen = [_twice(features), F.pixel_unshuffle(picture * 2 - 1, HALF), labels.clamp(-10, 10) / 10]
        labels = _twice(labels) + F.pixel_shuffle(self.outline(torch.cat(seen, 1)), HALF)
        return Answer(coarse.heat, labels[:, :PARTS], labels[:, PARTS:])

    def forward(self, picture: Tensor) -> Answer:
        """picture [B,3,256,192] in 0..1."""
        return self.outlined(picture, *self.coarse(F.avg_pool2d(picture, HALF)))


SHIFTS = (0, 1, 2, 3)  # pixels between the views of `look`: a cell of the features is four wide


def look(network: BodyNetwork, picture: Tensor, sides: tuple[list[int], list[int]]) -> Answer:
    """The network's answer from eight views: as it is and mirrored, each also up to three pixels further up and left.
    The
    label scores are put back in place and added: their errors along outlines differ from view to view.

    picture [B,3,256,192] in 0..1. sides: for parts and garments, which label each becomes in a mirror. The heat maps
    are those of the first view.
    """
    heat: Tensor | None = None
    parts: list[Tensor] = []
    garments: list[Tensor] = []
    for by in SHIFTS:
        shifted = F.pad(picture, (0, by, 0, by), mode="replicate")[..., by:, by:]
        for mirror in (False, True):
            seen = network(shifted.flip(-1) if mirror else shifted)
            heat = seen.heat if heat is None else heat
            for scores, found, swap in ((parts, seen.parts, sides[0]), (garments, seen.garments, sides[1])):
                found = found.flip(-1)[:, swap] if mirror else found
                back = F.pad(found.float().log_softmax(1), (by, 0, by, 0), mode="replicate")
                scores.append(back[..., : found.shape[-2], : found.shape[-1]])
    assert heat is not None
    return Answer(heat, functools.reduce(torch.add, parts), functools.reduce(torch.add, garments))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def read_joints(heat: Tensor) -> np.ndarray:
    """float32 [B,18,3]: x, y in pixels of the picture and the peak's height; absent joints are (0, 0, 0).

    The place is the centre of mass of the 5 x 5 cells round the peak.
    """
    probability = heat.float().sigmoid()
    height, width = probability.shape[2:]
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
    """Target heat maps [B,18,64,48] of joints [B,18,3] in pixels: a Gaussian for each that is present."""
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
    from .card import BodyCard, fill, read_network

    card, tensors = read_network(path, BodyCard, "studio body network")
    settings = card.network
    return fill(BodyNetwork(BodyConfig(tuple(settings.widths), settings.blocks, settings.outline)), tensors, path.name)
