"""Reads the attributes of a dressed figure from its picture: the judge of the design bench.

A small convolution network; its features are read at places along the body (neck, torso, arms, legs) that the pose
gives, so a collar is looked for at the neck and a hem along the legs. It is given the pose that was asked for. Plain
torch, about half a million parameters.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEIGHT = 192, 256
NECK = 1
ARMS, LEGS = ((2, 3, 4), (5, 6, 7)), ((8, 9, 10), (11, 12, 13))


@dataclass(frozen=True)
class ClassifierConfig:
    """heads: attribute -> its values; widths at 1/4, 1/8, 1/16 of the picture; channels read at each place of a region;
    channels read over all places of a region together (mean and largest); colours of the palette."""

    heads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    widths: tuple[int, ...] = (32, 64, 64)
    reads: tuple[int, ...] = (10, 6, 8, 4)  # neck, torso, arms, legs and skirt
    pooled: int = 32
    palette: int = 34
    hidden: int = 88


def body_points(joints: Tensor) -> list[Tensor]:
    """Where to look: for neck, torso, arms, and legs with skirt the places [B,P,2] in pixels.

    joints: [B,18,3] COCO-18 in pixels. Lengths are in units of the torso (neck to the middle of the hips).
    """
    place = joints[..., :2]
    neck, hips = place[:, NECK], (place[:, 8] + place[:, 11]) / 2
    ankles = (place[:, 10] + place[:, 13]) / 2
    unit = (hips - neck).norm(dim=-1).clamp_min(8)[:, None, None]
    fine = (-0.24, -0.16, -0.08, 0.0, 0.08, 0.16, 0.24)
    at_neck = _strip(neck, hips, (-0.18, -0.1, -0.03, 0.04, 0.11, 0.18, 0.27, 0.36), fine, unit)
    torso = _strip(neck, hips, (0.15, 0.35, 0.55, 0.75, 0.9, 1.05, 1.2), (-0.42, -0.28, -0.14, 0.0, 0.14, 0.28, 0.42), unit)
    arms = [_strip(place[:, a], place[:, b], along, (-0.16, 0.0, 0.16), unit)
            for limb in ARMS for a, b, along in ((*limb[:2], (0.0, 0.25, 0.5, 0.75)), (*limb[1:], (0.0, 0.25, 0.5, 0.75, 1.0)))]  # fmt: skip
    legs = [_strip(place[:, a], place[:, b], along, (-0.18, 0.0, 0.18), unit)
            for limb in LEGS for a, b, along in ((*limb[:2], (0.15, 0.4, 0.65, 0.9)), (*limb[1:], (0.15, 0.4, 0.65, 0.9, 1.1)))]  # fmt: skip
    skirt = _strip(hips, ankles, (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95), (-0.5, -0.25, 0.0, 0.25, 0.5), unit)
    return [at_neck, torso, torch.cat(arms, 1), torch.cat([*legs, skirt], 1)]


def _strip(start: Tensor, end: Tensor, along: tuple, beside: tuple, unit: Tensor) -> Tensor:
    """Places [B,len(along)*len(beside),2] on the way from start to end [B,2] and so many units to its side."""
    way = end - start
    across = torch.stack([-way[:, 1], way[:, 0]], -1)
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-3)
    a = torch.tensor(along, device=way.device).repeat_interleave(len(beside))[None, :, None]
    b = torch.tensor(beside, device=way.device).repeat(len(along))[None, :, None]
    return start[:, None] + a * way[:, None] + b * unit * across[:, None]


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

    Beside the convolutions' features the heads see, for each region, how much of it has which colour of the palette.
    """

    def __init__(self, config: ClassifierConfig, palette: Tensor | None = None):
        """palette: colours [config.palette, 3] in 0..1 that have names."""
        super().__init__()
        self.config = config
        quarter, eighth, deep = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, quarter, 6, stride=4, padding=1, bias=False), nn.BatchNorm2d(quarter), nn.ReLU(),
            nn.Conv2d(quarter, quarter, 3, padding=1, bias=False), nn.BatchNorm2d(quarter), nn.ReLU(),
        )  # fmt: skip
        self.middle = nn.Sequential(_Down(quarter, eighth), _Block(eighth))
        self.deep = nn.Sequential(_Down(eighth, deep), _Block(deep))
        wide = quarter + eighth + deep
        self.register_buffer("palette", torch.zeros(config.palette, 3) if palette is None else palette)
        self.sharpness = nn.Parameter(torch.tensor(150.0))
        self.reads = nn.ModuleList(nn.Linear(wide, n) for n in config.reads)
        self.pools = nn.ModuleList(nn.Linear(wide, config.pooled) for _ in config.reads)
        counts = [p.shape[1] for p in body_points(torch.zeros(1, 18, 3))]
        read = sum(n * c for n, c in zip(config.reads, counts, strict=True))
        shares = config.palette * len(counts)
        self.mixed = nn.Linear(read + 2 * config.pooled * len(counts) + shares, config.hidden)
        self.norm = nn.BatchNorm1d(config.hidden)
        seen = config.hidden + shares
        self.heads = nn.ModuleDict({_key(name): nn.Linear(seen, len(values)) for name, values in config.heads.items()})

    def features(self, picture: Tensor, joints: Tensor) -> Tensor:
        """[B,F], what the heads read: `hidden` features (also the space of FID and coverage), then the colour shares."""
        fine = self.stem(picture * 2 - 1)
        middle = self.middle(fine)
        maps = [fine, middle, self.deep(middle)]
        small = F.avg_pool2d(picture, 2).float()
        regions = body_points(joints.float())
        size = torch.tensor([WIDTH, HEIGHT], device=picture.device)
        grid = (torch.cat(regions, 1) / size * 2 - 1)[:, :, None]
        found = [F.grid_sample(m, grid.to(m), padding_mode="border", align_corners=False)[..., 0] for m in maps]
        counts = [region.shape[1] for region in regions]
        colours = F.grid_sample(small, grid, padding_mode="border", align_corners=False)[..., 0].split(counts, 2)
        read, shares = [], [self._colour_shares(one) for one in colours]
        for there, narrow, pool in zip(torch.cat(found, 1).mT.split(counts, 1), self.reads, self.pools, strict=True):
            over = F.relu(pool(there))
            read += [F.relu(narrow(there)).flatten(1), over.mean(1), over.amax(1)]
        coloured = torch.cat(shares, 1)
        return torch.cat([F.relu(self.norm(self.mixed(torch.cat([*read, coloured], 1)))), coloured], 1)

    def _colour_shares(self, colours: Tensor) -> Tensor:
        """[B,K] four times the root of each palette colour's share among the colours [B,3,P] of a region's places."""
        distance = (colours.mT[:, :, None] - self.palette.float()).square().sum(-1)
        return 4 * ((-self.sharpness * distance).softmax(-1).mean(1) + 1e-4).sqrt()

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


def _key(name: str) -> str:
    return name.replace(" ", "_")


def save_classifier(network: AttributeClassifier, path: Path, trained: str) -> None:
    """fp16 weights; the metadata says how the network is laid out and what it was trained on."""
    from safetensors.torch import save_file

    tensors = {k: v.detach().half().contiguous() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    described = {"format": "attribute_classifier", "network": asdict(network.config), "trained": trained}
    save_file(tensors, str(path), {"atelier": json.dumps(described)})


def load_classifier(path: Path) -> AttributeClassifier:
    """The network of a file that `save_classifier` wrote. Raises ValueError for any other file."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        described = json.loads((file.metadata() or {}).get("atelier", "{}"))
        if described.get("format") != "attribute_classifier":
            raise ValueError(
                f"{path.name} is no attribute classifier (its metadata does not say so); expected a file written by "
                "`dev.py train attributes`."
            )
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118  no mapping
    settings = described["network"]
    heads = {name: tuple(values) for name, values in settings["heads"].items()}
    lists = {name: tuple(settings[name]) for name in ("widths", "reads")}
    rest = {name: settings[name] for name in ("pooled", "palette", "hidden")}
    network = AttributeClassifier(ClassifierConfig(heads, **lists, **rest))
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"{path.name} lacks {missing[:3]} or has unknown {unexpected[:3]} tensors; train it again.")
    return network.eval()
