"""Recipe of the attribute classifier: what a dressed figure wears, read from its picture and pose.

A pool of figures is drawn once and kept beside the run; every second one has been through the studio autoencoder, some
with noise on the latents, because generated pictures look like that. Batches are mirrored, faintly blurred and noisy
views with joints a little off. A stopped run goes on where it was saved; what is written is a running average of the
weights.
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

from ...craft.body.keypoints import MIRRORED
from ...croquis.colours import COLOURS, PATTERNS, colour_name
from ...croquis.figure import FigureSpec, random_figure
from ...croquis.garment import COLLARS, HEMS, KINDS, LENGTHS, SLEEVE_LENGTHS, SLEEVE_TYPES
from ...models.studio.attribute_classifier import (
    CUTS,
    GARMENTS,
    HEIGHT,
    WIDTH,
    AttributeClassifier,
    ClassifierConfig,
    load_classifier,
    save_classifier,
)
from .muon import MuonAdamW, split_parameters
from .run import RUNS, WEIGHTS, trainer

TRAIN_SEEDS = 8_000_000  # held-out figures have seeds below 500 000
OUTFITS = (None, None, None, ("upper", "lower", "shoe"), ("overall", "shoe", "bag"), ("upper", "lower", "bag"))
ENDS = ("trunk.0.", "looks.", "heads.")  # these learn by AdamW, the rest by Muon
LIES = {"top": ("torso",), "bottom": ("legs",)}
COUNTS = {
    "hem": 2.0,
    "sleeve type": 1.5,
    "top hem": 0.5,
    "top second colour": 0.2,
    "bottom second colour": 0.2,
}  # else 1
LATENT_NOISE = (0.0, 0.1, 0.25)
HEADS: dict[str, tuple[str, ...]] = {
    "outfit": ("two pieces", "one piece"),
    "top kind": (*KINDS["upper"], *KINDS["overall"]),
    "top length": ("ultra-short", "short", "knee"),
    "sleeve length": SLEEVE_LENGTHS,
    "sleeve type": SLEEVE_TYPES,
    "collar": COLLARS,
    "top hem": HEMS,
    "top colour": tuple(COLOURS),
    "top second colour": tuple(COLOURS),
    "top pattern": PATTERNS,
    "bottom kind": (*KINDS["lower"], *KINDS["overall"]),
    "length": LENGTHS,
    "hem": HEMS,
    "bottom colour": tuple(COLOURS),
    "bottom second colour": tuple(COLOURS),
    "bottom pattern": PATTERNS,
}


@dataclass(frozen=True)
class Recipe:
    pool: int = 14000
    batch: int = 24
    lr: float = 0.02
    adam_lr: float = 2e-3
    warm_up: int = 40
    decay: float = 0.6  # share of the steps over which the learning rate falls at the end
    average: float = 0.99


def attributes_of(spec: FigureSpec) -> dict[str, str]:
    """What HEADS say of a figure in top and bottom, or in one overall; what it has not (type of no sleeve, second
    colour of a plain garment) is left out. Length and hem are those of what ends lowest, as in its caption.
    """
    worn = [g for g in spec.garments if g.category in ("upper", "lower", "overall")]
    top, bottom = worn[0], worn[-1]
    if any(g.open for g in worn) or [g.category for g in worn] not in (["upper", "lower"], ["overall"]):
        raise ValueError(
            f"The figure of seed {spec.seed} wears {[g.kind for g in worn]}; expected a top and a bottom, or an"
            f" overall."
        )
    one = top.category == "overall"
    said = {"outfit": HEADS["outfit"][one], "top kind": top.kind, "bottom kind": bottom.kind, "length": bottom.length,
            "hem": bottom.hem, "sleeve length": top.sleeve_length, "collar": top.collar}  # fmt: skip
    if top.sleeve_length != "sleeveless":
        said["sleeve type"] = top.sleeve_type
    if not one:
        said |= {"top length": top.length, "top hem": top.hem}
    for place, garment in (("top", top), ("bottom", bottom)):
        said |= {f"{place} colour": colour_name(garment.colours[0]), f"{place} pattern": garment.pattern}
        if garment.pattern != "plain":
            said[f"{place} second colour"] = colour_name(garment.colours[1])
    return said


def numbered(said: dict[str, str]) -> list[int]:
    return [HEADS[name].index(said[name]) if name in said else -1 for name in HEADS]


@dataclass
class Pool:
    """pictures uint8 [N,256,192,3]; joints float32 [N,18,3] in pixels; numbers int8 [N,len(HEADS)], -1 = has none."""

    pictures: Tensor
    joints: Tensor
    numbers: Tensor


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    from ...croquis import render

    spec = random_figure(seed, OUTFITS[seed % len(OUTFITS)])
    figure = render(spec, WIDTH, HEIGHT, ("person",))
    return figure.person, figure.keypoints, numbered(attributes_of(spec))


def pool_of_figures(count: int, folder: Path = RUNS / "attributes", first_seed: int = TRAIN_SEEDS) -> Pool:
    """The training pool, drawn once and kept as files that are mapped, not read."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"pool-{count}-{name}.npy" for name in ("pictures", "joints", "numbers")]
    if not paths[-1].exists():
        maps = [np.lib.format.open_memmap(path, "w+", dtype, shape) for path, dtype, shape in (
            (paths[0], np.uint8, (count, HEIGHT, WIDTH, 3)), (paths[1], np.float32, (count, 18, 3)),
        )]  # fmt: skip
        numbers = np.empty((count, len(HEADS)), np.int8)
        for row in range(count):
            maps[0][row], maps[1][row], numbers[row] = draw(first_seed + row)
            if row % 250 == 0:
                print(f"\rfigures {row}/{count}", end="", flush=True)
        through_the_autoencoder(maps[0])
        np.save(paths[2], numbers)
    return Pool(*(torch.from_numpy(np.load(path, mmap_mode="c")) for path in paths))


@torch.no_grad()
def through_the_autoencoder(pictures: np.ndarray, weights: Path = WEIGHTS, chunk: int = 8) -> None:
    """Replace every second picture by its round trip, with LATENT_NOISE in turn."""
    from .tryon.one_step import load_autoencoder

    encode, decode = load_autoencoder(weights / "autoencoder.safetensors")
    generator = torch.Generator().manual_seed(8)
    rows = np.arange(1, len(pictures), 2)
    for number, start in enumerate(range(0, len(rows), chunk)):
        own = rows[start : start + chunk]
        z = encode(torch.from_numpy(pictures[own]).permute(0, 3, 1, 2).float() / 255)
        z = z + LATENT_NOISE[number % len(LATENT_NOISE)] * torch.randn(z.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            made = decode(z).float()
        pictures[own] = (made.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        if number % 20 == 0:
            print(f"\rround trips {start}/{len(rows)}", end="", flush=True)


def views(pool: Pool, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Random views of some figures: picture [B,3,H,W] in 0..1, joints [B,18,3], numbers [B,heads]. Colours stay; joints
    are a little off, half of the figures mirrored, a quarter of the batches faintly blurred and noisy."""
    picture = pool.pictures[rows].permute(0, 3, 1, 2).float() / 255
    joints, count = pool.joints[rows].clone(), len(rows)

    def random(*shape):
        return torch.rand(*shape, generator=generator)

    flip = random(count) < 0.5
    picture[flip] = picture[flip].flip(3)
    turned = joints[flip][:, list(MIRRORED)]
    turned[..., 0] = WIDTH - turned[..., 0]
    joints[flip] = turned
    joints[..., :2] += 1.5 * torch.randn(count, 18, 2, generator=generator)
    if float(random(1)) < 0.75:
        return picture.contiguous(), joints, pool.numbers[rows].long()
    share = 0.7 * random(count, 1, 1, 1) * (random(count, 1, 1, 1) < 0.6)  # of a blurred copy
    picture = torch.lerp(picture, F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), "replicate"), 3, 1), share)
    noise = torch.randn(picture.shape, generator=generator) * 0.03 * random(count, 1, 1, 1)
    return (picture + noise).clamp(0, 1), joints, pool.numbers[rows].long()


@torch.no_grad()
def start_from_colours(network: AttributeClassifier) -> None:
    """Initial weights with which the colour heads name the colour that most of what their attention picks out has, and
    with which a garment's attention picks out the cuts where it lies.
    """
    count = network.config.palette
    for place, garment in enumerate(GARMENTS):
        if f"{garment} colour" in network.config.heads:
            first = network.config.hidden + count * (len(CUTS) + place)
            network.heads[f"{garment}_colour"].weight[:, first : first + count] += 1.5 * torch.eye(count)
        for cut, look in zip(CUTS, network.looks, strict=True):
            look.bias[place] = 1.0 if cut in LIES[garment] else -2.0


class ClassifierTraining(lightning.LightningModule):
    def __init__(self, recipe: Recipe = Recipe(), steps: int = 1300, config: ClassifierConfig | None = None):
        super().__init__()
        self.recipe, self.steps = recipe, steps
        palette = torch.tensor(list(COLOURS.values())).float() / 255
        network = AttributeClassifier(config or ClassifierConfig(dict(HEADS)), palette)
        start_from_colours(network)
        self.network = network.to(memory_format=torch.channels_last)
        self.average = torch.optim.swa_utils.AveragedModel(self.network, avg_fn=self._averaged, use_buffers=True)

    def start_from(self, trained: AttributeClassifier) -> None:
        """Begin with these weights: fresh optimizer, fresh average."""
        for network in (self.network, self.average.module):
            network.load_state_dict(trained.state_dict())

    def _averaged(self, average: Tensor, current: Tensor, count) -> Tensor:
        if not average.is_floating_point():
            return current
        return torch.lerp(average, current.to(average), max(1 - self.recipe.average, 1 / (int(count) + 1)))

    def configure_optimizers(self):
        return MuonAdamW(*split_parameters(self.network, ENDS), self.recipe.lr, self.recipe.adam_lr)

    def on_train_batch_start(self, batch, batch_idx) -> None:
        falling = (self.steps - self.global_step) / max(1.0, self.recipe.decay * self.steps)
        for group in self.trainer.optimizers[0].param_groups:
            group["scale"] = min(1.0, (self.global_step + 1) / self.recipe.warm_up, max(0.0, falling))

    def training_step(self, batch, _) -> Tensor:
        picture, joints, numbers = batch
        answers = self.network(picture.contiguous(memory_format=torch.channels_last), joints)
        losses, right = [], {}
        for column, (name, logits) in enumerate(answers.items()):
            target = numbers[:, column]
            if (target >= 0).any():
                losses.append(COUNTS.get(name, 1.0) * F.cross_entropy(logits.float(), target, ignore_index=-1))
                right[name] = (logits.argmax(1) == target)[target >= 0].float().mean()
        loss = torch.stack(losses).sum()
        self.log_dict({"loss": loss, **right})
        self.log("right", torch.stack(list(right.values())).mean(), prog_bar=True)
        return loss

    def on_train_batch_end(self, *_) -> None:
        self.average.update_parameters(self.network)


class RandomViews(torch.utils.data.IterableDataset):
    """Endless batches; the pool in a new order every time round."""

    def __init__(self, pool: Pool, batch: int, seed: int = 0):
        self.pool, self.batch, self.seed = pool, batch, seed

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            order = torch.randperm(len(self.pool.pictures), generator=generator)
            for start in range(0, len(order) - self.batch + 1, self.batch):
                yield views(self.pool, order[start : start + self.batch], generator)


def train_attributes(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py train attributes",
        description="Train the attribute classifier of the design bench, or go on with it; writes its weights at the"
        " end.",
    )
    parser.add_argument("--steps", type=int, default=1300, help="all sessions together")
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--pool", type=int, default=Recipe.pool)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--from-weights", action="store_true", help="begin a new run with the shipped weights")
    options = parser.parse_args(args)
    torch.set_num_threads(options.threads)
    lightning.seed_everything(13, verbose=False)
    recipe = Recipe(pool=options.pool)
    pool, last = pool_of_figures(recipe.pool), RUNS / "attributes" / "last.ckpt"
    module = ClassifierTraining(recipe, options.steps)
    start = torch.load(last, map_location="cpu", weights_only=True)["global_step"] if last.exists() else 0
    if options.from_weights:
        if start:
            parser.error(f"there is a run to go on with in {last.parent}; leave out --from-weights, or move it away")
        module.start_from(load_classifier(WEIGHTS / "attribute_classifier.safetensors"))
    loop = trainer("attributes", options.steps, options.save_every, options.threads)
    data = torch.utils.data.DataLoader(RandomViews(pool, recipe.batch, seed=start), batch_size=None)
    loop.fit(module, data, ckpt_path=last if start else None, weights_only=True)
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    trained = (
        f"{loop.global_step} steps of {recipe.batch}, {recipe.pool} croquis of seeds from {TRAIN_SEEDS} on, half"
        f" of them after the studio autoencoder"
    )
    save_classifier(module.average.module.cpu(), WEIGHTS / "attribute_classifier.safetensors", trained)
    return 0
