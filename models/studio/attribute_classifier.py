"""Reads the attributes of a dressed figure from its picture: the judge of the design bench.

The pose that was asked for says where neck, torso, arms and legs are. Each is cut out along its bone, arms
straightened, so that a collar always lies in the same place; one small convolution network sees every cut. Plain torch,
half a million parameters.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .card import ClassifierCard, fill, read_network

WIDTH, HEIGHT = 192, 256
NECK = 1
ARMS = ((2, 3, 4), (5, 6, 7))  # right, left
GARMENTS = ("top", "bottom")
CUTS = ("neck", "torso", "arm", "legs")
EDGES = ("arm", "legs")  # sleeves and hems are told by what is somewhere in them
SIZES = ((40, 44), (56, 44), (48, 32), (80, 80))  # rows, columns of each cut


@dataclass(frozen=True)
class ClassifierConfig:
    """heads: attribute -> its values; widths at 1/2, 1/4 and 1/8 of a cut; channels that each cut is read with at 1/4,
    place by place; colours of the palette."""

    heads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    widths: tuple[int, ...] = (24, 48, 64)
    reads: tuple[int, ...] = (6, 4, 4, 1)
    palette: int = 34
    hidden: int = 88


def cut_places(joints: Tensor) -> list[Tensor]:
    """Where each cut's pixels lie: [B,rows,columns,2] in pixels for neck, torso and legs, [2B,...] for arms (all right
    ones, then all left ones, columns from the outside to the inside).

    joints: [B,18,3] COCO-18 in pixels. Widths are in units of the torso (neck to the middle of the hips).
    """
    place = joints[..., :2]
    neck, hips = place[:, NECK], (place[:, 8] + place[:, 11]) / 2
    ankles = (place[:, 10] + place[:, 13]) / 2
    unit = (hips - neck).norm(dim=-1).clamp_min(8)[:, None, None]

    def strip(start: Tensor, end: Tensor, along: tuple[float, float], rows: int, width: float, columns: int) -> Tensor:
        return _strip(start, end, torch.linspace(*along, rows), torch.linspace(width, -width, columns), unit)

    arms = []
    for arm, turn in zip(ARMS, (1, -1)):
        shoulder, elbow, wrist = (place[:, joint] for joint in arm)
        upper = strip(shoulder, elbow, (-0.2, 0.95), 24, 0.4 * turn, 32)
        arms.append(torch.cat([upper, strip(elbow, wrist, (0.0, 1.15), 24, 0.4 * turn, 32)], 1))
    return [
        strip(neck, hips, (-0.32, 0.46), 40, 0.45, 44), strip(neck, hips, (0.0, 1.32), 56, 0.52, 44),
        torch.cat(arms), strip(hips, ankles, (-0.05, 1.05), 80, 0.8, 80),
    ]  # fmt: skip


def _strip(start: Tensor, end: Tensor, along: Tensor, beside: Tensor, unit: Tensor) -> Tensor:
    """Places [B,len(along),len(beside),2] on the way from start to end [B,2] and so many units to its right side."""
    way = end - start
    across = torch.stack([-way[:, 1], way[:, 0]], -1)
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-3)
    a, b = along.to(way)[None, :, None, None], beside.to(way)[None, None, :, None]
    return start[:, None, None] + a * way[:, None, None] + b * unit[..., None] * across[:, None, None]


def cuts(picture: Tensor, joints: Tensor) -> list[Tensor]:
    """The cuts [B or 2B,3,rows,columns] of pictures [B,3,256,192] at these joints."""
    size = torch.tensor([WIDTH, HEIGHT], device=picture.device)
    grids = [places / size * 2 - 1 for places in cut_places(joints.float())]
    twice = torch.cat([picture, picture]).float()
    return [
        F.grid_sample(
            twice if len(grid) > len(picture) else picture.float(), grid, padding_mode="border", align_corners=False
        )
        for grid in grids
    ]


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.second, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))


class _Down(nn.Sequential):
    def __init__(self, before: int, after: int):
        super().__init__(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class AttributeClassifier(nn.Module):
    """picture [B,3,256,192] in 0..1 and joints [B,18,3] in its pixels -> logits by attribute.

    The convolutions' features are read place by place, and as mean and maximum of each cut (a hem is a hem at any
    length).
    Two attention maps over all cuts pick out the top garment and the bottom one: the heads see the features and the
    colours of what they pick, beside how much of each cut has which colour of the palette, and the maxima of arms and
    legs.
    """

    palette: Tensor
    sharpness: Tensor

    def __init__(self, config: ClassifierConfig, palette: Tensor | None = None):
        """palette: colours [config.palette, 3] in 0..1 that have names."""
        super().__init__()
        self.config = config
        half, quarter, eighth = config.widths
        self.trunk = nn.Sequential(_Down(3, half), _Down(half, quarter), _Block(quarter))
        self.deep = nn.Sequential(_Down(quarter, eighth), _Block(eighth))
        self.register_buffer("palette", torch.zeros(config.palette, 3) if palette is None else palette)
        self.register_buffer("sharpness", torch.tensor(150.0))
        self.reads = nn.ModuleList(nn.Conv2d(quarter, n, 1) for n in config.reads)
        self.looks = nn.ModuleList(nn.Conv2d(quarter, len(GARMENTS), 1) for _ in config.reads)
        cells = [rows * columns // 16 for rows, columns in SIZES]
        shares = config.palette * len(CUTS)
        read = sum(n * c for n, c in zip(config.reads, cells, strict=True)) + 2 * (quarter + eighth) * len(CUTS)
        picked = quarter * len(GARMENTS)
        self.mixed = nn.Linear(read + shares + picked, config.hidden)
        self.norm = nn.BatchNorm1d(config.hidden)
        seen = config.hidden + shares + config.palette * len(GARMENTS) + picked + eighth * len(EDGES)
        self.heads = nn.ModuleDict({_key(name): nn.Linear(seen, len(values)) for name, values in config.heads.items()})

    def features(self, picture: Tensor, joints: Tensor) -> Tensor:
        """[B,F], what the heads read: `hidden` features (also the space of FID and coverage), then the colour
        shares.
        """
        read, shares, edges = [], [], []
        looks: list[Tensor] = []
        colours: list[Tensor] = []
        seen: list[Tensor] = []
        for number, (cut, narrow) in enumerate(zip(cuts(picture, joints), self.reads, strict=True)):
            found, named = self.trunk(cut * 2 - 1), self._named_colours(cut)
            deep = self.deep(found)
            maps = [F.relu(narrow(found)).flatten(1), *(pooled(x) for x in (found, deep) for pooled in (_mean, _most))]
            places = [self.looks[number](found).float(), named, found]
            if len(cut) > len(picture):  # right and left arm: what either shows, side by side
                maps = [torch.maximum(*part.chunk(2)) for part in maps]
                places = [torch.cat(part.chunk(2), 1 if part is named else 2) for part in places]
            read += maps
            if CUTS[number] in EDGES:
                edges.append(maps[-1])
            shares.append(_rooted(places[1].mean(1)))
            for kept, part in zip((looks, colours, seen), places):
                kept.append(part)
        coloured = torch.cat(shares, 1)
        picked = (
            torch.cat([x.flatten(2) for x in looks], 2).softmax(2)
            @ torch.cat([x.flatten(2) for x in seen], 2).float().mT
        )
        picked = picked.flatten(1)
        hidden = F.relu(self.norm(self.mixed(torch.cat([*read, coloured, picked], 1))))
        finer = torch.cat([F.interpolate(x, scale_factor=2).flatten(2) for x in looks], 2)
        garments = finer.softmax(2) @ torch.cat(colours, 1)
        return torch.cat([hidden, coloured, _rooted(garments).flatten(1), picked, *edges], 1)

    @torch.no_grad()
    def _named_colours(self, cut: Tensor) -> Tensor:
        """[B,P,K]: which colour of the palette each 2x2 pixels of a cut have, softly."""
        colours, palette = F.avg_pool2d(cut.float(), 2).flatten(2).mT, self.palette.float()
        with torch.autocast(cut.device.type, enabled=False):
            near = 2 * (colours @ palette.T) - palette.square().sum(1)  # minus the squared distance, but for a constant
        return (self.sharpness.float() * near).softmax(-1)

    def forward(self, picture: Tensor, joints: Tensor) -> dict[str, Tensor]:
        return self.answers(self.features(picture, joints))

    def answers(self, features: Tensor) -> dict[str, Tensor]:
        """Logits by attribute of what `features` gave."""
        return {name: self.heads[_key(name)](features) for name in self.config.heads}

    @torch.no_grad()
    def read(self, picture: Tensor, joints: Tensor) -> list[dict[str, str]]:
        """The likeliest value of every attribute, one dict a picture."""
        best = {name: logits.argmax(1).tolist() for name, logits in self(picture, joints).items()}
        return [{name: self.config.heads[name][best[name][row]] for name in best} for row in range(len(picture))]


def _mean(maps: Tensor) -> Tensor:
    return maps.mean((2, 3))


def _most(maps: Tensor) -> Tensor:
    return maps.amax((2, 3))


def _rooted(shares: Tensor) -> Tensor:
    return 4 * (shares + 1e-4).sqrt()


def _key(name: str) -> str:
    return name.replace(" ", "_")


def save_classifier(network: AttributeClassifier, path: Path, trained: str) -> None:
    """fp16 weights; the metadata says how the network is laid out and what it was trained on."""
    from safetensors.torch import save_file

    tensors = {
        k: v.detach().half().contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    described = {"format": "attribute_classifier", "network": asdict(network.config), "trained": trained}
    save_file(tensors, str(path), {"atelier": json.dumps(described)})


def load_classifier(path: Path) -> AttributeClassifier:
    """The network of a file that `save_classifier` wrote. Raises ValueError for any other file."""
    card, tensors = read_network(path, ClassifierCard, "attribute classifier")
    settings = card.network
    heads = {name: tuple(values) for name, values in settings.heads.items()}
    config = ClassifierConfig(heads, tuple(settings.widths), tuple(settings.reads), settings.palette, settings.hidden)
    return fill(AttributeClassifier(config), tensors, path.name)
