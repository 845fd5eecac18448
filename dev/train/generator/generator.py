"""Recipe of the studio's ideation generator: EquiFashion's latent generator on the studio's latents of drawn figures.

The published terms that carry here are the hinge losses of discriminator and generator and the mode-seeking term. What
is different, and why. (1) The generator proposes the clean latent, not the one a level further down: at few steps one
level is not the next step. The discriminator sees that proposal beside the noisy latent, as in denoising diffusion GANs
(Xiao et al. 2022), so that one network gives many answers at every level. (2) Of several proposals only the nearest to
the true figure is pulled towards it (best of k), which anchors the drafts without averaging them. (3) The published
discriminator needs latents of 64 x 64; this one is small. (4) It also learns to refuse figures with another figure's
words (Reed et al. 2016). The text encoder is the studio designer's and stays as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....models.equifashion import losses
from ....models.equifashion.generator import GENERATOR_PREFIX, LatentGenerator
from ....models.studio.designer.text_encoder import TextEncoder
from ..muon import MuonAdamW, split_parameters
from ..noise import alpha_sigma
from .generator_data import Drafts

CHANNELS, FEATURES = 32, 38  # 0.74 M parameters: 1.5 MB in half precision
ENDS = ("time_embed", "context_projection", "net.6")  # layers that AdamW trains; the others are Muon's


@dataclass(frozen=True)
class Recipe:
    batch: int = 16
    proposals: int = 2
    nearest: float = 1.0
    adversarial: float = 0.01
    mode_seeking: float = 0.3
    varied_up_to: float = 0.12  # ratio past which proposals differ enough: without it, single ones blow up
    varied_above: int = 500  # levels at which proposals should differ: below, the noisy latent says what it becomes
    begin: int = 200  # steps before the discriminator counts
    gradient_penalty: float = 1.0
    penalty_every: int = 8
    lr: float = 0.02
    adam_lr: float = 1e-3
    discriminator_lr: float = 2e-4
    warm_up: int = 30
    decay: float = 0.35  # last share of the steps, in which the learning rate falls to zero
    ema: float = 0.995


class DraftDiscriminator(nn.Module):
    """Scores of a clean latent beside a noisy one, its words and its level: of 8 x 6 places and of the whole."""

    def __init__(self, channels: int = CHANNELS, context: int = 64, width: int = 64):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, width))
        self.first = nn.Conv2d(2 * channels, width, 4, 2, 1)
        self.second, self.third = nn.Conv2d(width, 2 * width, 4, 2, 1), nn.Conv2d(2 * width, 3 * width, 4, 2, 1)
        self.places, self.whole = nn.Conv2d(2 * width, 1, 3, padding=1), nn.Linear(3 * width, 1)
        self.text = nn.Linear(context, 3 * width)

    def forward(self, clean: Tensor, noisy: Tensor, context: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """[B,C,h,w] twice, [B,D], [B] -> scores of the places [B,P] and of the whole [B,1]."""
        places, features = self.looked_at(clean, noisy, t)
        return places, self.whole_with(features, context)

    def looked_at(self, clean: Tensor, noisy: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What does not depend on the words: the scores of the places, and features [B,F] of the whole."""
        h = self.first(torch.cat([clean, noisy], 1)) + self.time(t[:, None] / 1000)[:, :, None, None]
        h = self.second(F.leaky_relu(h, 0.2))
        h = F.leaky_relu(h, 0.2)
        places = self.places(h).flatten(1)
        return places, F.leaky_relu(self.third(h), 0.2).mean((2, 3))

    def whole_with(self, features: Tensor, context: Tensor) -> Tensor:
        return self.whole(features) + (features * self.text(context)).sum(1, keepdim=True) / features.shape[1] ** 0.5


def propose(generator: LatentGenerator, z: Tensor, u: Tensor, context: Tensor, t: Tensor) -> Tensor:
    """`generator(z, u, context, t)` at a third of the cost.

    Time and text are constant planes, so that their share of the first convolution takes three values along each side:
    at the two ends and between them.
    """
    first, rest = generator.net[0], generator.net[1:]
    varying = z.shape[1] + u.shape[1]
    planes = generator._planes(z.new_zeros(len(z), 1, 6, 6), context, t)
    small = F.conv2d(planes, first.weight[:, varying:], first.bias, 2, 1)
    for axis, size in ((2, z.shape[2] // 2), (3, z.shape[3] // 2)):
        ends = small.narrow(axis, 0, 1), small.narrow(axis, 2, 1)
        middle = small.narrow(axis, 1, 1).repeat_interleave(size - 2, axis)
        small = torch.cat([ends[0], middle, ends[1]], axis)
    return rest(F.conv2d(torch.cat([z, u], 1), first.weight[:, :varying], None, 2, 1) + small)


class GeneratorTraining(lightning.LightningModule):
    """scale: float32 [C], what the generator's output in (-1, 1) is multiplied with."""

    def __init__(
        self, text: TextEncoder, scale: Tensor, steps: int, recipe: Recipe = Recipe(), features: int = FEATURES
    ):
        super().__init__()
        self.automatic_optimization = False
        context = text.config.width
        self.recipe, self.steps = recipe, steps
        self.text = text.eval().requires_grad_(False)
        self.generator = LatentGenerator(len(scale), features, context)
        tame_levels(self.generator)
        begin_grey(self.generator)
        self.reading = nn.Linear(context, context).requires_grad_(False)  # evens out the text for the discriminator
        self.discriminator = DraftDiscriminator(len(scale), context)
        self.average = torch.optim.swa_utils.AveragedModel(self.generator, avg_fn=self._averaged, use_buffers=True)
        alpha, sigma = alpha_sigma()
        self.register_buffer("alpha", alpha.float(), persistent=False)
        self.register_buffer("sigma", sigma.float(), persistent=False)
        self.register_buffer("scale", scale.float()[:, None, None])
        self.position = 0

    @torch.no_grad()
    def begin_with(self, told: Tensor) -> None:
        """Even out the text before the first step: vectors of prompts differ little, and mostly in a few directions.

        told: [N, D] vectors of prompts by the text encoder.
        """
        values, vectors = torch.linalg.eigh(torch.cov(told.double().T))
        evened = (vectors * (values + 0.01 * values.mean()).rsqrt()) @ vectors.T
        self.reading.weight.copy_(evened)
        self.reading.bias.copy_(-evened @ told.double().mean(0))
        first = self.generator.context_projection
        first.bias.copy_(first.bias + first.weight @ self.reading.bias)
        first.weight.copy_(first.weight @ self.reading.weight)
        self.average.module.load_state_dict(self.generator.state_dict())

    def _averaged(self, average: Tensor, current: Tensor, count) -> Tensor:
        if not average.is_floating_point():
            return current
        return torch.lerp(average, current.to(average), max(1 - self.recipe.ema, 1 / (int(count) + 1)))

    def configure_optimizers(self):
        own = MuonAdamW(*split_parameters(self.generator, ENDS), self.recipe.lr, self.recipe.adam_lr)
        return [own, torch.optim.Adam(self.discriminator.parameters(), self.recipe.discriminator_lr, (0.5, 0.99))]

    def rate(self, step: int) -> float:
        """Share of the learning rate: a short rise, then constant, falling to zero at the end."""
        falling = (self.steps - step) / max(1.0, self.recipe.decay * self.steps)
        return min(1.0, (step + 1) / self.recipe.warm_up, max(0.0, falling))

    def training_step(self, numbered: tuple[int, Drafts], _) -> None:
        number, batch = numbered
        self.position = max(self.position, number + 1)
        step, random = self.global_step // 2, torch.Generator().manual_seed(number)
        optimizers = self.optimizers()
        for group in optimizers[0].param_groups:
            group["scale"] = self.rate(step)
        optimizers[1].param_groups[0]["lr"] = self.recipe.discriminator_lr * self.rate(step)
        z, context = self.noisy(batch, random)
        made, noises = self.proposals(z, context, batch.t, random)
        loss, parts = self.generator_loss(batch, z, context, made, noises, adversarial=step >= self.recipe.begin)
        self._step(optimizers[0], loss)
        against, more = self.discriminator_loss(batch, z, context, made[0].detach(), step)
        self._step(optimizers[1], against)
        self.average.update_parameters(self.generator)
        self.log_dict({**parts, **more}, prog_bar=True)

    def _step(self, optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    @torch.no_grad()
    def noisy(self, batch: Drafts, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """The latents at their levels, and the mean of their prompts' vectors as the sampler's source takes it."""
        noise = torch.randn(batch.clean.shape, generator=random).to(batch.clean)
        alpha, sigma = (table[batch.t][:, None, None, None] for table in (self.alpha, self.sigma))
        return alpha * batch.clean + sigma * noise, self.text(batch.words).mean(1)

    def proposals(self, z: Tensor, context: Tensor, t: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(clean latents [K,B,C,h,w], their noises) of the same noisy latents."""
        k = self.recipe.proposals
        u = torch.randn((k, *z.shape), generator=random).to(z)
        made = propose(self.generator, z.repeat(k, 1, 1, 1), u.flatten(0, 1), context.repeat(k, 1), t.repeat(k))
        return (made * self.scale).unflatten(0, (k, -1)), u

    def generator_loss(self, batch: Drafts, z, context, made, noises, adversarial: bool) -> tuple[Tensor, dict]:
        off = made - batch.clean
        distance = (off.abs() + off**2 / 2).mean((2, 3, 4))
        nearest = distance.min(0).values.mean()
        parts, loss = {"nearest": nearest}, self.recipe.nearest * nearest
        varied = batch.t > self.recipe.varied_above
        if varied.any():
            pairs = zip(*(of[i][varied].split(1) for of in (made, noises) for i in (0, 1)))
            each = torch.stack([losses.mode_seeking(*pair) for pair in pairs])
            parts["varied"] = each.clamp(min=-self.recipe.varied_up_to).mean()
            loss = loss + self.recipe.mode_seeking * parts["varied"]
        if adversarial:
            places, whole = self.discriminator(made[0], z, self.reading(context), batch.t)
            parts["adversarial"] = losses.generator(places) + losses.generator(whole)
            loss = loss + self.recipe.adversarial * parts["adversarial"]
        return loss, parts

    def discriminator_loss(self, batch: Drafts, z, context, made: Tensor, step: int) -> tuple[Tensor, dict]:
        """Hinge on true and made figures, true figures with another's words, and a gradient penalty now and then."""
        clean = batch.clean.clone().requires_grad_(step % self.recipe.penalty_every == 0)
        judge, context = self.discriminator, self.reading(context)
        places, features = judge.looked_at(clean, z, batch.t)
        real, wrong = (places, judge.whole_with(features, context)), judge.whole_with(features, context.roll(1, 0))
        fake = judge(made, z, context, batch.t)
        loss = sum(losses.discriminator(*pair) for pair in zip(real, fake)) + 0.5 * F.relu(1 + wrong).mean()
        parts = {"real": real[1].mean(), "fake": fake[1].mean(), "wrong": wrong.mean()}
        if clean.requires_grad:
            (slope,) = torch.autograd.grad(real[0].mean(1).sum() + real[1].sum(), clean, create_graph=True)
            penalty = slope.pow(2).sum((1, 2, 3)).mean()
            loss = loss + self.recipe.gradient_penalty * self.recipe.penalty_every / 2 * penalty
        return loss, parts

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["atelier"] = {"position": self.position}


def tame_levels(generator: LatentGenerator) -> None:
    """Make the first layer of the level's embedding fit for levels of 0 to 999, and fix it.

    Levels enter undivided. With the usual start the embedding would be hundreds of times larger than latents and
    words, and one step of the optimizer would turn it over.
    """
    first = generator.time_embed[0].requires_grad_(False)
    torch.nn.init.uniform_(first.weight, -0.006, 0.006)
    torch.nn.init.uniform_(first.bias, -2, 2)


@torch.no_grad()
def begin_grey(generator: LatentGenerator) -> None:
    """Let the first drafts be nearly empty: noise at full strength is unlearnt by switching the last layers off."""
    generator.net[6].weight.mul_(0.1)
    generator.net[6].bias.zero_()


def fit_to_text(layer: nn.Linear, before: Tensor, after: Tensor, ridge: float = 1e-3) -> float:
    """Teach a layer that reads text another text encoder, by the linear map from its vectors to those that it knows.

    before, after: [N, D] vectors of the same prompts by the encoder it knows and by the new one. Changes the layer in
    place; returns the share of the old vectors' variance that the new ones explain.
    """
    with torch.no_grad():
        centre, target = after.double().mean(0), before.double().mean(0)
        x, y = after.double() - centre, before.double() - target
        gram = x.T @ x
        size = ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        turn = torch.linalg.solve(gram + size, x.T @ y)  # old = target + (new - centre) @ turn
        weight = layer.weight.double()
        layer.bias += (weight @ (target - centre @ turn)).to(layer.bias)
        layer.weight.copy_((weight @ turn.T).to(layer.weight))
        return float(1 - (y - x @ turn).pow(2).sum() / y.pow(2).sum())


def export(generator: LatentGenerator, scale: Tensor, path: Path, note: str = "") -> None:
    """Write the fp16 file that Load Ideation Generator takes; metadata says what tensors do not."""
    from safetensors.torch import save_file

    described = {
        "format": "ideation_generator", "proposes": "clean latent", "latent_channels": scale.numel(), "down": 8,
        "latent_scale": [round(float(x), 4) for x in scale.flatten()], "text_encoder": "studio designer", "note": note,
    }  # fmt: skip
    state = {
        GENERATOR_PREFIX + key: (value.to(torch.float16) if value.is_floating_point() else value).contiguous()
        for key, value in generator.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, str(path), metadata={"atelier": json.dumps(described)})
