"""Recipe of the studio body network: joints, parts and garments of drawn figures.

A pool of figures is drawn once and kept beside the run; batches are random views of it (mirrored with left and right
exchanged, shifted, scaled, other colours, paper and noise), so that few drawings go a long way. A stopped run goes on
where it was saved; what is written at the end is a running average of the weights. The label heads, the outline
head among them, are trained afterwards at full size, with the rest as it is.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....craft.body.keypoints import MIRRORED
from ....craft.body.labels import ATR, PARTS, mirrored
from ....models.studio.body_network import HALF, HEIGHT, WIDTH, BodyNetwork, joint_heat, load_network, save_network
from ..run import RUNS, WEIGHTS, trainer

TRAIN_SEEDS = 1_000_000  # held-out figures have smaller seeds
KINDS = (None, None, ("upper", "lower", "shoe"), ("overall", "shoe", "bag"), ("upper", "lower", "bag"))


@dataclass(frozen=True)
class Recipe:
    pool: int = 2000
    batch: int = 16
    lr: float = 3e-3
    weight_decay: float = 0.02
    heat_weight: float = 40.0
    overlap_weight: float = 0.5  # of the label heads' second training
    warm_up: int = 50
    decay: float = 0.25  # share of the steps over which the learning rate falls at the end
    average: float = 0.99


@dataclass
class Figures:
    """picture [N,3,H,W], parts and garments [N,H,W] uint8; joints [N,18,3] float32 in pixels."""

    picture: Tensor
    parts: Tensor
    garments: Tensor
    joints: Tensor


def draw_figures(first_seed: int, count: int, width: int = WIDTH, height: int = HEIGHT) -> Figures:
    """Figures of consecutive seeds, with shoes and bags on some."""
    from ....croquis import random_figure, render

    drawn = [
        render(random_figure(seed, KINDS[seed % len(KINDS)]), width, height, ("person", "parts"))
        for seed in range(first_seed, first_seed + count)
    ]
    stack = {
        name: torch.from_numpy(np.stack([getattr(f, name) for f in drawn]))
        for name in ("person", "parts", "atr", "keypoints")
    }
    return Figures(
        stack["person"].permute(0, 3, 1, 2).contiguous(), stack["parts"], stack["atr"], stack["keypoints"].float()
    )


def pool_of_figures(count: int, width: int, height: int, folder: Path = RUNS / "body") -> Figures:
    """The training pool, drawn once and kept as one file."""
    from safetensors.torch import load_file, save_file

    path = folder / f"pool-{count}-{width}x{height}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = draw_figures(TRAIN_SEEDS, count, width, height)
        save_file(vars(made), str(path))
    return Figures(**load_file(str(path)))


def mirrored_labels(names: tuple[str, ...]) -> Tensor:
    """A table [256] that exchanges the left and the right label of a set."""
    table = torch.arange(256)
    table[: len(names)] = torch.tensor(mirrored(names))
    return table


def views(figures: Figures, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random views of some figures: picture [B,3,H,W] in 0..1, parts, garments [B,H,W], joints [B,18,3]."""
    count, (height, width) = len(rows), figures.picture.shape[2:]
    picture = figures.picture[rows].float() / 255
    parts, garments, joints = figures.parts[rows].long(), figures.garments[rows].long(), figures.joints[rows].clone()
    flip = torch.rand(count, generator=generator) < 0.5
    picture[flip], parts[flip], garments[flip] = picture[flip].flip(3), parts[flip].flip(2), garments[flip].flip(2)
    parts[flip], garments[flip] = mirrored_labels(PARTS)[parts[flip]], mirrored_labels(ATR)[garments[flip]]
    turned = joints[flip][:, list(MIRRORED)]
    turned[..., 0] = width - turned[..., 0]
    joints[flip] = turned
    scale = 1 + 0.22 * (
        torch.rand(count, generator=generator) - 0.35
    )  # more often larger pictures of a part than small ones
    shift = 0.16 * (torch.rand(count, 2, generator=generator) - 0.5)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = shift
    grid = F.affine_grid(matrix, (count, 1, height, width), align_corners=False)
    picture = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    labels = F.grid_sample(torch.stack([parts, garments], 1).float(), grid, mode="nearest", align_corners=False).long()
    size = torch.tensor([width, height])
    place = ((2 * joints[..., :2] / size - 1) - shift[:, None]) / scale[:, None, None]
    joints[..., :2] = (place + 1) / 2 * size
    inside = ((place.abs() < 1).all(2)) & (joints[..., 2] > 0)
    joints = torch.where(inside[..., None], joints, torch.zeros(()))
    return recoloured(picture, labels[:, 0], generator), labels[:, 0], labels[:, 1], joints


def recoloured(picture: Tensor, parts: Tensor, generator: torch.Generator) -> Tensor:
    """Other light, contrast and tint, now and then another paper, and noise."""
    count = len(picture)

    def random(*shape):
        return torch.rand(*shape, generator=generator)

    paper = random(count, 3, 1, 1) * (0.5 + 0.5 * random(count, 1, 1, 1))
    change = (random(count, 1, 1, 1) < 0.3) & (parts == 0)[:, None]
    picture = torch.where(change & (picture.amax(1, keepdim=True) > 0.75), 0.15 * picture + 0.85 * paper, picture)
    gain = 1 + 0.4 * (random(count, 3, 1, 1) - 0.5) * random(count, 1, 1, 1) + 0.3 * (random(count, 1, 1, 1) - 0.5)
    lift = 0.16 * (random(count, 1, 1, 1) - 0.5)
    noise = torch.randn(picture.shape, generator=generator) * 0.03 * random(count, 1, 1, 1)
    return (picture * gain + lift + noise).clamp(0, 1)


class BodyTraining(lightning.LightningModule):
    """Trains everything but the outline head, at half size."""

    def __init__(self, recipe: Recipe = Recipe(), steps: int = 2400, network: BodyNetwork | None = None):
        super().__init__()
        self.steps = steps
        self.network = (network or BodyNetwork()).to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.average = torch.optim.swa_utils.AveragedModel(self.network, avg_fn=self._averaged, use_buffers=True)

    def _averaged(self, average: Tensor, current: Tensor, count) -> Tensor:
        if not average.is_floating_point():
            return current
        return torch.lerp(average, current.to(average), max(1 - self.recipe.average, 1 / (int(count) + 1)))

    def trained(self) -> list[torch.nn.Parameter]:
        return [p for name, p in self.network.named_parameters() if not name.startswith("outline.")]

    def configure_optimizers(self):
        return torch.optim.AdamW(self.trained(), self.recipe.lr, weight_decay=self.recipe.weight_decay)

    def on_train_batch_start(self, batch, batch_idx) -> None:
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.recipe.lr * self.rate(self.global_step)

    def rate(self, step: int) -> float:
        """Share of the learning rate: a short rise, then constant, falling to zero over the last quarter."""
        falling = (self.steps - step) / max(1.0, self.recipe.decay * self.steps)
        return min(1.0, (step + 1) / self.recipe.warm_up, max(0.0, falling))

    def training_step(self, batch, _) -> Tensor:
        picture, parts, garments, joints = batch
        answer, _ = self.network.coarse(picture.to(memory_format=torch.channels_last))
        target = joint_heat(joints * torch.tensor([HALF, HALF, 1]))
        seen = 1 + 20 * target  # the few warm cells count as much as the many cold ones
        heat = (F.binary_cross_entropy_with_logits(answer.heat.float(), target, reduction="none") * seen).mean()
        part, garment = (F.cross_entropy(a.float(), b) for a, b in ((answer.parts, parts), (answer.garments, garments)))
        self.log_dict({"heat": heat, "parts": part, "garments": garment}, prog_bar=True)
        return self.recipe.heat_weight * heat / 20 + part + garment

    def on_train_batch_end(self, *_) -> None:
        self.average.update_parameters(self.network)


class OutlineTraining(BodyTraining):
    """Trains the label heads, coarse and outline, at full size, on top of a finished network."""

    def __init__(self, recipe: Recipe, steps: int, network: BodyNetwork):
        super().__init__(recipe, steps, network.requires_grad_(False))
        for parameter in self.trained():
            parameter.requires_grad_(True)

    def trained(self) -> list[torch.nn.Parameter]:
        return [*self.network.labels.parameters(), *self.network.outline.parameters()]

    def on_train_batch_start(self, batch, batch_idx) -> None:
        self.network.eval()  # the running statistics stay as they are
        super().on_train_batch_start(batch, batch_idx)

    def training_step(self, batch, _) -> Tensor:
        picture, parts, garments, _ = batch
        picture = picture.to(memory_format=torch.channels_last)
        answer = self.network(picture)
        scores = ((answer.parts.float(), parts), (answer.garments.float(), garments))
        part, garment = (F.cross_entropy(a, b) for a, b in scores)
        overlap = sum(missed_overlap(a, b) for a, b in scores)
        self.log_dict({"parts": part, "garments": garment, "overlap": overlap}, prog_bar=True)
        return part + garment + self.recipe.overlap_weight * overlap


def missed_overlap(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - intersection over union, the mean over the classes that occur, with probabilities in place of decisions.

    Small parts such as hands count as much as large ones. logits [B,C,H,W], truth int64 [B,H,W].
    """
    classes = logits.shape[1]
    odds = logits.softmax(1)
    right = odds.gather(1, truth[:, None]).flatten()
    both = torch.zeros(classes, device=logits.device).index_add(0, truth.flatten(), right)
    there = torch.bincount(truth.flatten(), minlength=classes)
    union = odds.sum((0, 2, 3)) + there - both
    return 1 - (both / union)[there > 0].mean()


class RandomViews(torch.utils.data.IterableDataset):
    def __init__(self, figures: Figures, batch: int, seed: int = 0):
        self.figures, self.batch, self.seed = figures, batch, seed

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            rows = torch.randint(len(self.figures.picture), (self.batch,), generator=generator)
            yield views(self.figures, rows, generator)


def train_body(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py train body",
        description="Train the studio body network, or go on with it; writes its weights at the end.",
    )
    parser.add_argument("--steps", type=int, default=2400, help="all sessions together")
    parser.add_argument("--outlines", action="store_true", help="afterwards: train the label heads at full size")
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--pool", type=int, default=Recipe.pool)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(args)
    lightning.seed_everything(11, verbose=False)
    path = WEIGHTS / "body.safetensors"
    if options.outlines:
        name, size, recipe = "body-outlines", (WIDTH, HEIGHT), Recipe(options.pool, batch=8, lr=2e-3, weight_decay=0.0)
        module: BodyTraining = OutlineTraining(recipe, options.steps, load_network(path))
    else:
        name, size, recipe = "body", (WIDTH // HALF, HEIGHT // HALF), Recipe(options.pool)
        module = BodyTraining(recipe, options.steps)
    figures, last = pool_of_figures(recipe.pool, *size), RUNS / name / "last.ckpt"
    start = torch.load(last, map_location="cpu", weights_only=True)["global_step"] if last.exists() else 0
    loop = trainer(name, options.steps, options.save_every, options.threads)
    data = torch.utils.data.DataLoader(RandomViews(figures, recipe.batch, seed=start), batch_size=None)
    loop.fit(module, data, ckpt_path=last if start else None, weights_only=True)
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    note = f"{name}: {loop.global_step} steps of {recipe.batch}, pool {recipe.pool}"
    save_network(module.average.module.cpu(), path, note)
    return 0
