"""Recipe of the studio wardrobe network: UniFashion's losses on drawn garments.

`python dev.py train wardrobe` draws a pool of garments once (resumable), then trains or goes on. The learning rate
falls to zero over the last part of --steps. What is written is a running average of the weights, with the language
head's temperature fitted on garments of the training range that are never trained on.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ....models.studio.wardrobe.wardrobe_attributes import VALUES
from ....models.studio.wardrobe.wardrobe_network import WardrobeNetwork, save_network
from ....models.studio.wardrobe.wardrobe_words import PAD
from ....models.unifashion import losses
from ..muon import MuonAdamW, split_parameters
from ..run import RUNS, WEIGHTS, trainer
from . import fashion_sets
from .wardrobe_batch import Batch, DrawnBatches, drawn_batch
from .wardrobe_pool import CALIBRATION_SEEDS, pool_of_garments

ENDS = (
    "trunk.stem.0",
    "trunk.places",
    "query_tokens",
    "words",
    "places",
    "vision_proj",
    "text_proj",
    "itm_head",
    "language_head",
)


@dataclass(frozen=True)
class Recipe:
    pool: int = 9000
    pairs: int = 48
    trunk_first: int = (
        600  # steps in which only the picture trunk learns, from the hints: a third of a whole step's cost
    )
    matched: int = 32  # rows of a batch that the matching loss is computed on: three joint passes each
    joint_every: int = 3  # steps from one batch with the joint passes (matching, composed retrieval) to the next
    lr: float = 0.02  # Muon
    adam_lr: float = 2e-3
    warm_up: int = 20
    decay: float = 0.45  # share of the steps over which the learning rate falls at the end
    average: float = 0.99
    smoothing: float = 0.1  # of the language loss, as UniFashion has it
    hint: float = 1.0  # weight of the attributes told from the picture's tokens alone


def all_losses(
    network: WardrobeNetwork,
    batch: Batch,
    matched: int,
    smoothing: float,
    joint: bool = True,
    seen: Tensor | None = None,
) -> dict[str, Tensor]:
    """ITC, ITM and LM (paper Eq. 5 with the code's LM), and CIR's two contrastive losses (Eq. 10): the composed vector
    against the target's queries, the fused queries against the target's caption. Each is absent when the batch has
    nothing for it; joint=False leaves out those that need the joint pass (ITM and CIR). seen: the pictures' tokens
    where they are known."""
    seen = network.see(batch.pictures) if seen is None else seen
    made: dict[str, Tensor] = {}
    temperature = network.temperature.clamp_min(0.02)
    queries = network.queries(seen) if len(batch.captioned) < len(seen) else None
    if len(batch.captioned):
        own = seen[batch.captioned]
        shown, logits = network.language(own, batch.written[:, :-1])
        texts = network.text_vectors(network.text(batch.captions))
        queries = shown if queries is None else queries
        images = network.image_vectors(queries[batch.captioned])
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            made["lm"] = losses.language(_ended(logits.float()), batch.written, pad=PAD, smoothing=smoothing)
            made["itc"] = losses.contrastive(images.float(), texts.float(), temperature, batch.fits)
        if joint:
            made["itm"] = _matching(network, own, batch, images.detach().float(), texts.detach().float(), matched)
    if joint and len(batch.wishes):
        fused = network.joint(seen[batch.before], batch.wishes)
        target, composed = network.image_vectors(queries[batch.after]), network.composed_vectors(fused)
        also = batch.same[batch.after][:, batch.after]
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            made["cir"] = losses.contrastive(target.float(), composed.float(), temperature, also)
        if len(batch.captioned) == len(seen):
            queries = network.image_vectors(fused[:, : network.config.queries])
            fit = batch.fits[batch.after][:, batch.after]
            with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                made["ttc"] = losses.composed_to_caption(queries.float(), texts[batch.after].float(), temperature, fit)
    return made


def _ended(logits: Tensor) -> Tensor:
    """losses.language drops the last logits; the language pass here was not given the last word."""
    return torch.cat([logits, logits[:, -1:]], 1)


def _matching(
    network: WardrobeNetwork, seen: Tensor, batch: Batch, images: Tensor, texts: Tensor, matched: int
) -> Tensor:
    """ITM on the first `matched` rows of a random order, against the hardest negatives of the whole batch."""
    best = losses.without(losses.similarity(images, texts).amax(-1), batch.fits)
    hard_text, hard_image = losses.hard_negatives(best, as_lavis=True)
    rows = torch.randperm(len(seen), device=seen.device)[:matched]
    pictures = torch.cat([rows, hard_image[rows], rows])
    words = torch.cat([rows, rows, hard_text[rows]])
    answers = network.match_logits(network.joint(seen[pictures], batch.captions[words]))
    labels = torch.zeros(len(words), dtype=torch.long, device=seen.device)
    labels[: len(rows)] = 1
    return losses.matching(answers.float(), labels)


def hint_loss(logits: Tensor, numbers: Tensor) -> Tensor:
    """Cross-entropy of every attribute that a garment has, told from its picture by one linear layer: not UniFashion's,
    only a short way for the trunk to learn from. logits [R, all values], numbers [R, kinds] with -1 for none."""
    parts = logits.split([len(values) for values in VALUES.values()], 1)
    losses_of = [
        cross_entropy(part, numbers[:, kind].long(), ignore_index=-1, reduction="sum")
        for kind, part in enumerate(parts)
    ]
    return torch.stack(losses_of).sum() / (numbers >= 0).sum()


class WardrobeTraining(lightning.LightningModule):
    def __init__(self, recipe: Recipe = Recipe(), steps: int = 2000):
        super().__init__()
        self.recipe, self.steps = recipe, steps
        self.network = WardrobeNetwork().to(memory_format=torch.channels_last)
        self.hints = torch.nn.Linear(2 * self.network.config.trunk[3], sum(map(len, VALUES.values())))
        self.average = torch.optim.swa_utils.AveragedModel(self.network, avg_fn=self._averaged, use_buffers=True)

    def _averaged(self, average: Tensor, current: Tensor, count) -> Tensor:
        if not average.is_floating_point():
            return current
        return torch.lerp(average, current.to(average), max(1 - self.recipe.average, 1 / (int(count) + 1)))

    def configure_optimizers(self):
        hidden, others = split_parameters(self.network, ENDS)
        return MuonAdamW(hidden, [*others, *self.hints.parameters()], self.recipe.lr, self.recipe.adam_lr)

    def on_train_batch_start(self, batch, batch_idx) -> None:
        for group in self.trainer.optimizers[0].param_groups:
            group["scale"] = self.rate(self.global_step)

    def rate(self, step: int) -> float:
        falling = (self.steps - step) / max(1.0, self.recipe.decay * self.steps)
        return min(1.0, (step + 1) / self.recipe.warm_up, max(0.0, falling))

    def training_step(self, batch: Batch, _) -> Tensor:
        joint = self.global_step % self.recipe.joint_every == 0 or not len(batch.captioned)
        seen, made = self.network.see(batch.pictures), {}
        if batch.numbers is None or self.global_step >= self.recipe.trunk_first:
            made = all_losses(self.network, batch, self.recipe.matched, self.recipe.smoothing, joint, seen)
        if batch.numbers is not None:
            pooled = torch.cat([seen.mean(1), seen.amax(1)], 1)
            made["hint"] = self.recipe.hint * hint_loss(self.hints(pooled).float(), batch.numbers)
        self.log_dict(made, prog_bar=True)
        return sum(made.values())

    def on_train_batch_end(self, *_) -> None:
        self.average.update_parameters(self.network)


def calibrate(network: WardrobeNetwork, folder: Path, count: int = 150) -> float:
    """Fits reading_temperature on garments of CALIBRATION_SEEDS: all words of their captions, each after the true words
    before it. Returns the temperature."""
    from ....craft.wardrobe.garment_attributes import fit_temperature

    pool = pool_of_garments(count, folder, CALIBRATION_SEEDS, view="flat")
    batch = drawn_batch(pool, torch.arange(count), np.random.default_rng(0), None, 1.0)
    with torch.inference_mode():
        logits = network.eval().language(network.see(batch.pictures), batch.written[:, :-1])[1].float()
    following = batch.written[:, 1:]
    real = following != PAD
    temperature = fit_temperature(logits[real], following[real])
    network.reading_temperature.fill_(temperature)
    return temperature


def train_wardrobe(args: list[str]) -> int:
    options = _options().parse_args(args)
    lightning.seed_everything(13, verbose=False)
    recipe, name = Recipe(pool=options.pool, trunk_first=options.trunk_first), "wardrobe"
    if options.fashion_iq or options.fashiongen:
        name = "wardrobe-fashion-iq" if options.fashion_iq else "wardrobe-fashiongen"
    module, last = WardrobeTraining(recipe, options.steps), RUNS / name / "last.ckpt"
    saved = torch.load(last, map_location="cpu", weights_only=True) if last.exists() else None
    step = saved["global_step"] if saved else 0
    if options.export_only:
        if saved is None:
            raise ValueError(f"There is no run to export in {RUNS / name}: train first.")
        module.load_state_dict(saved["state_dict"])
    else:
        data = _batches(options, recipe, step)
        loop = trainer(name, options.steps, options.save_every, options.threads)
        loop.fit(module, data, ckpt_path=last if saved else None, weights_only=True)
        loop.save_checkpoint(last)
        step = loop.global_step
    network = module.average.module.cpu()
    temperature = calibrate(network, RUNS / "wardrobe")
    target = WEIGHTS / "wardrobe.safetensors" if name == "wardrobe" else RUNS / name / "wardrobe.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    note = f"{step} steps of {recipe.pairs} pairs, pool {recipe.pool}, reading temperature {temperature:.2f}"
    save_network(network, target, note)
    print(f"\n{target}")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py train wardrobe",
        description="Train the studio wardrobe network, or go on with it; writes its weights at the end.",
    )
    parser.add_argument("--steps", type=int, default=2000, help="all sessions together")
    parser.add_argument(
        "--trunk-first", type=int, default=Recipe.trunk_first, help="steps in which only the picture trunk learns"
    )
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--pool", type=int, default=Recipe.pool, help="pairs of garments to draw")
    parser.add_argument("--begin-with", type=int, default=2000, help="pairs drawn before training begins")
    parser.add_argument("--drawing", type=int, default=4, help="pairs drawn beside each step until the pool is full")
    parser.add_argument(
        "--fashion-iq", metavar="DIR", help="train on Fashion-IQ's triplets instead; the weights stay beside the run"
    )
    parser.add_argument("--kind", default="dress", help="which garments of Fashion-IQ: dress, shirt or toptee")
    parser.add_argument(
        "--fashiongen", metavar="DIR", help="train on FashionGen instead; the weights stay beside the run"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export-only", action="store_true", help="write the averaged weights of the last checkpoint")
    return parser


def _batches(options: argparse.Namespace, recipe: Recipe, seed: int) -> torch.utils.data.DataLoader:
    if options.fashion_iq:
        triplets = fashion_sets.read_fashion_iq(Path(options.fashion_iq), options.kind)
        data = fashion_sets.FashionIQBatches(triplets, recipe.pairs, seed)
    elif options.fashiongen:
        data = fashion_sets.FashionGenBatches(
            fashion_sets.read_fashiongen(Path(options.fashiongen)), recipe.pairs, seed
        )
    else:
        pool = pool_of_garments(recipe.pool, RUNS / "wardrobe", drawn=options.begin_with)
        data = DrawnBatches(pool, recipe.pairs, seed, drawing=options.drawing)
    if getattr(data, "left_out", 0):
        print(f"{data.left_out} captions say nothing in the recipe's words and are left out")
    return torch.utils.data.DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=3)
