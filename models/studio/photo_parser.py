"""The photo parser: which pixels of a photograph are which garment, hair, skin, bag or ground.

An ImageNet MobileNetV2 (arXiv 1801.04381, torchvision's key names) with the body's joints added to its features, two
layers of attention over the whole figure, an answer for the whole figure (which classes occur at all: one piece or two,
a coat over it), and a decoder whose scores that answer conditions. Plain torch; under 4 M parameters.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .person_frame import LONG, crop, frame_round, inside, person_box, put_back

# What is told apart; `outer` is what is worn over a top (coat, blazer, cardigan).
CLASSES = (
    "background", "hair", "skin", "hat", "glasses", "top", "outer", "dress", "skirt", "trousers", "tights", "belt",
    "shoes", "bag", "scarf",
)  # fmt: skip
JOINTS = 18
MIRRORED = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)  # each joint's place in a mirror image
BONES = (
    (0, 1), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (1, 11), (8, 9), (9, 10), (11, 12), (12, 13)
)  # fmt: skip
MAPS = JOINTS + len(BONES)
FINE = 2  # scores are this much smaller than the picture
TAPS = {2: 1, 4: 3, 8: 6, 16: 13, 32: 17}  # stride: the last trunk layer of that stride
TRUNK = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
WAVES = 4  # octaves of the place that attention knows
ONE_GARMENT = ("top", "outer")  # compete with the other classes together: cardigans and shirts are labelled as either


@dataclass(frozen=True)
class ParserConfig:
    classes: tuple[str, ...] = CLASSES
    whole: int = 192  # width of the attention over the figure
    layers: int = 2
    heads: int = 6
    widths: tuple[int, ...] = (128, 96, 64)  # of the decoder at strides 16, 8, 4
    dropout: float = 0.1


class Answer(NamedTuple):
    """scores: logits [B,classes,H/2,W/2]. occurs: logits [B,classes], whether a class is in the picture at all."""

    scores: Tensor
    occurs: Tensor


def _convolution(before: int, after: int, side: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, side, stride, side // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU6(inplace=True))


class _InvertedResidual(nn.Module):
    def __init__(self, before: int, after: int, stride: int, expansion: int):
        super().__init__()
        hidden, self.residual = before * expansion, stride == 1 and before == after
        layers: list[nn.Module] = [] if expansion == 1 else [_convolution(before, hidden, 1)]
        layers += [_convolution(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, after, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """The layers `features.0` to `features.17` of torchvision's MobileNetV2: 320 channels at stride 32."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, 32, 3, 2)]
        before = 32
        for expansion, after, count, stride in TRUNK:
            for index in range(count):
                layers.append(_InvertedResidual(before, after, stride if index == 0 else 1, expansion))
                before = after
        self.features = nn.Sequential(*layers)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """torchvision's state dict, strictly; its last layer and classifier are left out. Raises ValueError."""
        kept = {k: v for k, v in state.items() if not k.startswith(("features.18.", "classifier."))}
        try:
            self.load_state_dict(kept, strict=True)
        except RuntimeError as problem:
            raise ValueError(
                "The trunk's weights are not those of torchvision's MobileNetV2 (keys features.0 to features.17);"
                " take mobilenet_v2-b0353104.pth."
            ) from problem


def joint_maps(joints: Tensor, height: int, width: int, stride: int) -> Tensor:
    """[B,31,height/stride,width/stride]: a soft spot at each joint and a soft line along each bone that is known.

    joints [B,18,3] in pixels of a height x width picture; absent ones have confidence 0.
    """
    spread = (height * width) ** 0.5 / 32
    y, x = ((torch.arange(n // stride, device=joints.device) + 0.5) * stride for n in (height, width))
    place = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    known, points = joints[..., 2] > 0, joints[..., :2].float()
    first, last = (torch.tensor([bone[k] for bone in BONES], device=joints.device) for k in (0, 1))
    start = torch.cat([points, points[:, first]], 1)[:, :, None, None]
    way = torch.cat([torch.zeros_like(points), points[:, last] - points[:, first]], 1)[:, :, None, None]
    there = torch.cat([known, known[:, first] & known[:, last]], 1)
    offset = place - start
    along = ((offset * way).sum(-1) / (way * way).sum(-1).clamp_min(1e-6)).clamp(0, 1)
    away = (offset - along[..., None] * way).square().sum(-1)
    return torch.exp(-0.5 * away / spread**2) * there[..., None, None]


class _Up(nn.Module):
    def __init__(self, deep: int, fine: int, width: int, convolutions: int = 1):
        super().__init__()
        self.deep, self.fine = nn.Conv2d(deep, width, 1, bias=False), nn.Conv2d(fine, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.convolutions = nn.Sequential(*(_convolution(width, width) for _ in range(convolutions)))

    def forward(self, deep: Tensor, fine: Tensor) -> Tensor:
        raised = F.interpolate(self.deep(deep), scale_factor=2, mode="bilinear", align_corners=False)
        return self.convolutions(F.relu(self.norm(raised + self.fine(fine))))


class WholeFigure(nn.Module):
    """Attention over the coarsest features, so that the hem knows of the collar; answers which classes occur."""

    def __init__(self, config: ParserConfig):
        super().__init__()
        width, classes = config.whole, len(config.classes)
        self.enter = nn.Conv2d(320 + MAPS + 4 * WAVES, width, 1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, config.heads, 2 * width, config.dropout, batch_first=True, norm_first=True, activation="gelu"
            )
            for _ in range(config.layers)
        )
        self.norm, self.occurs = nn.LayerNorm(width), nn.Linear(width, classes)
        self.told = nn.Linear(classes, width)

    def forward(self, deep: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """([B,whole,h,w], occurs [B,classes]). deep [B,320,h,w]; maps: joint maps of the same size."""
        height, width = deep.shape[-2:]
        place = _waves(height, width, deep)[None].expand(len(deep), -1, -1, -1)
        x = self.enter(torch.cat([deep, maps.to(deep), place], 1))
        tokens = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.norm(tokens)
        occurs = self.occurs(tokens.mean(1)).float()
        tokens = tokens + self.told(occurs.sigmoid().to(tokens))[:, None]
        return tokens.transpose(1, 2).unflatten(2, x.shape[-2:]), occurs


def _waves(height: int, width: int, like: Tensor) -> Tensor:
    """[16,h,w]: sines and cosines of the place, one wave and its octaves over the picture."""
    y, x = ((torch.arange(n, device=like.device) + 0.5) / n for n in (height, width))
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"))
    phase = torch.cat([place * torch.pi * 2**octave for octave in range(WAVES)])
    return torch.cat([phase.sin(), phase.cos()]).to(like)


class PhotoParser(nn.Module):
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ParserConfig = ParserConfig()):
        super().__init__()
        self.config, classes = config, len(config.classes)
        self.trunk = MobileNetV2()
        self.joints = nn.Conv2d(MAPS, 32, 1)
        nn.init.zeros_(self.joints.weight)  # the ImageNet features begin as they are
        assert self.joints.bias is not None
        nn.init.zeros_(self.joints.bias)
        self.whole = WholeFigure(config)
        wide, middle, fine = config.widths
        self.up16, self.up8 = _Up(config.whole, 96, wide), _Up(wide, 32 + MAPS, middle)
        self.up4 = _Up(middle, 24 + 4 * 16, fine, 2)
        self.scores = nn.Conv2d(fine, classes * (4 // FINE) ** 2, 1)
        self.trust = nn.Parameter(torch.full((classes,), 0.3))  # how much the figure's answer moves a class
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, picture: Tensor, joints: Tensor | None = None) -> Answer:
        """picture [B,3,H,W] in 0..1, both sides multiples of 32; joints [B,18,3] in its pixels, None: nobody knows."""
        if joints is None:
            joints = picture.new_zeros(len(picture), JOINTS, 3)
        height, width = picture.shape[-2:]
        maps = joint_maps(joints, height, width, 8)
        x, taps = (picture - self.mean) / self.deviation, {}
        x = x.contiguous(memory_format=torch.channels_last)
        for index, layer in enumerate(self.trunk.features):
            x = layer(x)
            if index == TAPS[8]:
                x = x + self.joints(maps.to(x))
            taps[index] = x
        fine2, fine4, fine8, fine16, deep = (taps[TAPS[stride]] for stride in (2, 4, 8, 16, 32))
        figure, occurs = self.whole(deep, F.avg_pool2d(maps, 4))
        x = self.up8(self.up16(figure, fine16), torch.cat([fine8, maps.to(fine8)], 1))
        x = self.up4(x, torch.cat([fine4, F.pixel_unshuffle(fine2, 2)], 1))
        scores = F.pixel_shuffle(self.scores(x), 4 // FINE).float()
        return Answer(scores + (self.trust * occurs.clamp(-6, 6))[:, :, None, None], occurs)


@torch.no_grad()
def frame_scores(network: PhotoParser, picture: Tensor, joints: Tensor, mirror: bool = True) -> Tensor:
    """Probabilities [B,classes,H/2,W/2], with `mirror` the mean of the picture and its mirror image."""
    odds = network(picture, joints).scores.softmax(1)
    if not mirror:
        return odds
    turned = joints[:, list(MIRRORED)].clone()
    turned[..., 0] = torch.where(turned[..., 2] > 0, picture.shape[-1] - turned[..., 0], 0)
    return (odds + network(picture.flip(-1), turned).scores.softmax(1).flip(-1)) / 2


def together(odds: Tensor, classes: tuple[str, ...] = CLASSES) -> Tensor:
    """Probabilities [B,classes,H,W] in which `top` has those of `outer` too, and `outer` none."""
    top, outer = (classes.index(name) for name in ONE_GARMENT)
    merged = odds.clone()
    merged[:, top] += merged[:, outer]
    merged[:, outer] = 0
    return merged


def decide(odds: Tensor, classes: tuple[str, ...] = CLASSES) -> Tensor:
    """Labels uint8 [B,H,W] of probabilities [B,classes,H,W]: top and outer compete together, then with each other."""
    top, outer = (classes.index(name) for name in ONE_GARMENT)
    labels = together(odds, classes).argmax(1)
    labels[(labels == top) & (odds[:, outer] > odds[:, top])] = outer
    return labels.to(torch.uint8)


@torch.no_grad()
def picture_odds(
    network: PhotoParser, picture: np.ndarray, joints: np.ndarray, mirror: bool = True, long: int = LONG
) -> Tensor:
    """Probabilities [classes,H,W] for a photograph uint8 [H,W,3] and one person's joints [18,3] in its pixels, all 0
    where nobody knows them. What lies outside the frame round the person is background.
    """
    height, width = picture.shape[:2]
    frame = frame_round(person_box(joints, width, height), long)
    device = next(network.parameters()).device
    whole = torch.from_numpy(np.array(picture)).to(device).movedim(-1, 0)[None].float() / 255
    seen = torch.from_numpy(frame.joints(joints))[None].to(device)
    odds = put_back(frame_scores(network, crop(whole, frame), seen, mirror), frame, width, height)[0]
    outside = ~inside(frame, width, height).to(device)
    odds[:, outside] = 0
    odds[0, outside] = 1
    return odds


def parse_photo(network: PhotoParser, picture: np.ndarray, joints: np.ndarray, **options: Any) -> np.ndarray:
    """Labels uint8 [H,W], numbers of `CLASSES`; arguments as for `picture_odds`."""
    return decide(picture_odds(network, picture, joints, **options)[None], network.config.classes)[0].cpu().numpy()


def save_network(network: PhotoParser, path: Path, note: str = "") -> None:
    """fp16 weights with the configuration as metadata."""
    from safetensors.torch import save_file

    tensors = {
        k: v.detach().half().contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    about = {"format": "photo-parser", "network": asdict(network.config), "note": note}
    save_file(tensors, str(path), {"atelier": json.dumps(about)})


def load_network(path: Path) -> PhotoParser:
    """The network of a file that `save_network` wrote, ready to use. Raises ValueError for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            described = json.loads((file.metadata() or {}).get("atelier", "{}"))
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError, json.JSONDecodeError):
        described, tensors = {}, {}
    if described.get("format") != "photo-parser":
        raise ValueError(
            f"{path.name} is no photo parser (its metadata does not say so); restore the pack's own file, or train one"
            " with `python dev.py train parser`."
        )
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in described["network"].items()}
    network = PhotoParser(ParserConfig(**settings))
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(
            f"{path.name} lacks {missing[:3]} or has unknown {unexpected[:3]} tensors; restore the pack's own file."
        )
    return network.eval()
