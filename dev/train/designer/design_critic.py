"""A critic for the designer: does the drawing show the attributes that its prompt names?

A sleeve type, a collar or a hem is a few cells of a figure, so the error of the latent hardly asks for it: after
10 000 steps the designer drew them by chance. The critic is a network that was taught on true figures to tell these
attributes from a latent, seen along the bones of the pose; frozen, it hands its verdict on the guesses back as
a gradient, as the classifiers of auxiliary-classifier GANs do (Odena et al. 2017). It is taught through strong noise
and with fine channels missing: a gradient that would only fool it with a faint pattern then has no effect, and
half-made guesses can be read at all. Its figures, input, shape and training are its own: the judge of
`dev.py bench design-quality` has no part in it. Nothing of it is left at use. Our own; the sources have no such loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....craft.body.keypoints import MIRRORED
from ....croquis.figure import FigureSpec, random_figure
from ....models.studio.attribute_classifier import SIZES, WIDTH, cuts
from ..attribute_classifier import HEADS, attributes_of
from ..latents import Latents
from ..muon import MuonAdamW, split_parameters
from .design_prompts import Piece

SEEDS = 9_500_000  # figures that the critic is taught on
OUTFITS = (None, None, None, ("upper", "lower", "shoe"), ("overall", "shoe", "bag"), ("upper", "lower", "bag"))
ASKED = ("sleeve length", "sleeve type", "collar", "length", "hem", "top kind", "bottom kind", "top pattern",
         "bottom pattern")  # fmt: skip
OF_TOP = {"sleeve_length": "sleeve length", "sleeve_type": "sleeve type", "collar": "collar"}
OF_BOTTOM = {"length": "length", "hem": "hem"}
UNASKED = -1
NOISE = 0.8  # largest deviation of the latent noise that it is taught through


def asked(pieces: Iterable[Piece], spec: FigureSpec) -> np.ndarray:
    """int8 [len(ASKED)]: number of each value that the prompt says, or UNASKED; all UNASKED for open jackets."""
    table = np.full(len(ASKED), UNASKED, np.int8)
    worn = [i for i, g in enumerate(spec.garments) if g.category in ("upper", "lower", "overall")]
    if any(spec.garments[i].open for i in worn) or len(worn) > 2:
        return table
    known, top, bottom = attributes_of(spec), worn[0], worn[-1]
    for piece in pieces:
        names = [OF_TOP.get(piece.says)] * (piece.owner == top) + [OF_BOTTOM.get(piece.says)] * (piece.owner == bottom)
        if piece.says in ("kind", "pattern"):
            names = [f"top {piece.says}"] * (piece.owner == top) + [f"bottom {piece.says}"] * (piece.owner == bottom)
        for name in names:
            if name in known:
                table[ASKED.index(name)] = HEADS[name].index(known[name])
    return table


def _normed(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, 1, bias=False), nn.GroupNorm(8, after), nn.SiLU(inplace=True)
    )


class DesignCritic(nn.Module):
    """Latents [B,C,h,w] and joints [B,18,3] in pixels -> logits by attribute of ASKED.

    The latent's linear picture is cut out along the bones; what lies where in a cut, and what is somewhere in it, goes
    into one hidden layer.
    """

    def __init__(self, latents: Latents, width: int = 40, hidden: int = 192):
        super().__init__()
        self.latents = latents
        self.near = nn.Sequential(
            _normed(3, width, 4, 2), _normed(width, 2 * width, 4, 2), _normed(2 * width, 2 * width, 3, 1)
        )
        self.far = nn.Sequential(_normed(2 * width, 2 * width, 4, 2), _normed(2 * width, 2 * width, 3, 1))
        self.narrow = nn.Conv2d(2 * width, 16, 1)
        read = sum(16 * (rows // 8) * (columns // 8) + 6 * width for rows, columns in SIZES)
        self.mixed, self.norm = nn.Linear(read, hidden), nn.LayerNorm(hidden)
        self.heads = nn.ModuleList(nn.Linear(hidden, len(HEADS[name])) for name in ASKED)

    def forward(self, latent: Tensor, joints: Tensor) -> list[Tensor]:
        picture, found = self.latents.decode(latent), []
        for cut in cuts(picture, joints):
            near = self.near(cut * 2 - 1)
            far = self.far(near)
            maps = [self.narrow(far).flatten(1), near.amax((2, 3)), far.amax((2, 3)), far.mean((2, 3))]
            if len(cut) > len(picture):  # right and left arm: what either shows
                maps = [torch.maximum(*part.chunk(2)) for part in maps]
            found += maps
        hidden = F.silu(self.norm(self.mixed(torch.cat(found, 1))))
        return [head(hidden) for head in self.heads]

    def loss(self, latent: Tensor, joints: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """(mean cross-entropy over what is asked, share answered right). numbers: int [B,len(ASKED)]."""
        answers, numbers = self(latent, joints), numbers.long()
        losses, hits = [], []
        for column, logits in enumerate(answers):
            known = numbers[:, column] != UNASKED
            if known.any():
                losses.append(F.cross_entropy(logits[known].float(), numbers[known, column], reduction="sum"))
                hits.append(logits[known].argmax(1) == numbers[known, column])
        if not losses:
            return latent.sum() * 0, latent.new_zeros(())
        hits = torch.cat(hits).float()
        return sum(losses) / len(hits), hits.mean()


def roughened(latent: Tensor, generator: torch.Generator) -> Tensor:
    """As guesses look: noise of any strength, and the channels of finer detail weakened from somewhere on."""
    rows, channels = latent.shape[:2]

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    kept = torch.sigmoid((random(rows, 1) * 1.6 * channels - torch.arange(channels)) / 2)
    kept = torch.where(random(rows, 1) < 0.3, torch.ones_like(kept), kept)[:, :, None, None]
    noise = torch.randn(latent.shape, generator=generator) * NOISE * random(rows, 1, 1, 1) ** 2
    return latent * kept.to(latent) + noise.to(latent)


def pool(count: int, latents: Latents) -> tuple[Tensor, Tensor, Tensor]:
    """(latents fp16 [N,C,h,w], joints [N,18,3], numbers int8 [N,len(ASKED)]) of drawn figures."""
    from ....croquis import render

    codes, joints, numbers = [], [], []
    for seed in range(SEEDS, SEEDS + count):
        spec = random_figure(seed, OUTFITS[seed % len(OUTFITS)])
        figure = render(spec, want=("person",))
        person = torch.from_numpy(figure.person).permute(2, 0, 1)[None].float() / 255
        said = attributes_of(spec)
        codes.append(latents.encode(person)[0].half())
        joints.append(torch.from_numpy(figure.keypoints))
        numbers.append([HEADS[name].index(said[name]) if name in said else UNASKED for name in ASKED])
        if seed % 500 == 0:
            print(f"\rfigures for the critic {seed - SEEDS}/{count}", end="", flush=True)
    return torch.stack(codes), torch.stack(joints), torch.tensor(numbers, dtype=torch.int8)


def teach(
    latents: Latents,
    steps: int,
    figures: int = 20_000,
    batch: int = 32,
    report=lambda step, loss, right: None,
    start: DesignCritic | None = None,
) -> DesignCritic:
    """Train a critic, or go on with one (`start`): about a third of a second a step on one core, after some minutes
    of drawing.
    """
    torch.manual_seed(17)
    generator = torch.Generator().manual_seed(17 + figures)
    codes, joints, numbers = pool(figures, latents)
    critic = DesignCritic(latents)
    if start is not None:
        critic.load_state_dict(start.state_dict())
    optimizer = MuonAdamW(*split_parameters(critic, ("heads.", "narrow.")), 0.02, 2e-3, weight_decay=0.02)
    for step in range(steps):
        rows = torch.randint(len(codes), (batch,), generator=generator)
        latent, places, wanted = codes[rows].float(), joints[rows].clone(), numbers[rows]
        if step % 2:
            latent, places = mirrored(latents, latent, places)
        places[..., :2] += 1.5 * torch.randn(batch, 18, 2, generator=generator)
        for group in optimizer.param_groups:
            group["scale"] = min(1.0, (step + 1) / 50, (steps - step) / (0.6 * steps))
        with torch.autocast("cpu", torch.bfloat16):
            loss, right = critic.loss(roughened(latent, generator), places, wanted)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        report(step, loss.item(), right.item())
    return critic.eval().requires_grad_(False)


def mirrored(latents: Latents, latent: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """The mirrored figure: its latent (by way of the linear picture) and joints."""
    turned = joints[:, list(MIRRORED)].clone()
    turned[..., 0] = WIDTH - turned[..., 0]
    return latents.encode(latents.decode(latent).flip(3)), turned


def taught_critic(latents: Latents, steps: int, folder: Path) -> DesignCritic:
    """From `folder`/critic.safetensors, or taught now and kept there."""
    from safetensors.torch import load_file, save_file

    path = folder / "critic.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_file(teach(latents, steps, report=_report(steps)).state_dict(), str(path))
    critic = DesignCritic(latents)
    critic.load_state_dict(load_file(str(path)))
    return critic.eval().requires_grad_(False)


def _report(steps: int):
    def report(step: int, loss: float, right: float) -> None:
        if step % 50 == 49 or step == steps - 1:
            print(f"critic {step + 1}/{steps}: {loss:.3f}, right {right:.3f}", flush=True)

    return report
