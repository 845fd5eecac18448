"""Recipe of the studio designer: first its text encoder (`design_meaning`), then UNet and pose ControlNet together.

The network guesses the clean latent and how far it may be off (`clean_latent`), at zero terminal SNR. Half of the
prompts are cut by noise level as HieraFashDiff's C(t) does, so that the hierarchical prompt is what the network knows;
the rest say everything at every level. Two heads of the text attentions are told which words a cell should read (the
ground colour and the other words of the garment that it shows: the renderer knows), a linear readout of what they give
is held to that garment's mean latent, another to what the prompt says of its cut (`cut`), and others of the last
features to the figure's layout (`layout`). That is what EquiFashion's bundling asks of attention; nothing of it is left
at use. A critic (`design_critic`) and the colours of whole garments (`garment_colours`) push the guesses, where asked
for also those of figures that the designer is drawing itself (`rollouts`). Where a try-on network of the same widths is
there, its convolutions are the start. Warm-up, a stable phase, a decay forked from it (`--decay`).
"""

from __future__ import annotations

from dataclasses import dataclass

import lightning
import torch
from torch import Tensor, nn

from ....models.studio.designer.clean_latent import clean_latent
from ....models.studio.designer.network import Block, Config, DesignerUNet, PoseControlNet
from ....models.studio.designer.text_encoder import END, LENGTH, START, TextConfig, TextEncoder
from ..latents import Latents
from ..layout import LayoutReadouts, garment_edges, layout_shares
from ..muon import MuonAdamW, split_parameters
from ..noise import louder
from ..sharpening import Sharpening
from .cut import CutReadouts
from .design_critic import DesignCritic, roughened
from .designer_data import HIGH, LOWEST, NEAREST, NOISE_SCALE, Designs
from .garment_colours import colour_error, inside
from .rollouts import FINISHED, Rollouts

ENDS = (
    "unet.input_blocks.0.", "unet.out.", "control.input_blocks.0.", "control.zero_convs", "control.middle_block_out",
    "control.input_hint_block",
)  # fmt: skip
CLEANEST = 20.0  # largest weight of a nearly clean sample; 1/sigma^2, which v-prediction has, below it
PROBED = 3  # the last text attentions are supervised


@dataclass(frozen=True)
class Recipe:
    batch: int = 12
    reading: float = 0.05
    telling: float = 0.1
    layout: float = 0.5
    cut: float = 0.1
    critic: float = 1.0  # length of the critic's push on the guess over that of the squared error's gradient
    colour: float = 0.7  # the same of the push towards the garments' colours
    on_garments: float = 2.0  # extra loss weight of a cell that shows a garment
    on_edges: float = 3.0  # extra loss weight of a cell that a garment's edge crosses: hems, collars, cuffs
    lr: float = 0.02
    adam_lr: float = 3e-3
    weight_decay: float = 0.025
    warm_up: int = 80
    ema: float = 0.998
    rollout: float = 0.0  # the critic's push, and that towards the colours, on the designer's own rollouts; 0: none


class Designer(nn.Module):
    """The three networks, called as one: what is trained and what is saved."""

    def __init__(self, config: Config = Config(), text: TextConfig = TextConfig(), words: int = 1):  # noqa: B008  frozen
        super().__init__()
        self.unet, self.control, self.text = DesignerUNet(config), PoseControlNet(config), TextEncoder(text, words)

    def forward(
        self, x: Tensor, t: Tensor, words: Tensor, pose: Tensor | None, seen: Tensor | None, probes=None
    ) -> Tensor:
        """pose: [B,3,H,W] in 0..1 or None; seen: [B], 1 where the ControlNet acts."""
        control = None
        if pose is not None:
            control = [out * seen.to(out)[:, None, None, None] for out in self.control(x, pose, t)]
        return self.unet(x, t, self.text(words), control, probes)


def in_transformer(name: str) -> bool:
    """Whether a UNet tensor of this name belongs to a transformer, its projections in and out among them."""
    return any(part in name for part in (".transformer_blocks.", ".proj_in.", ".proj_out."))


def reading_loss(q: Tensor, k: Tensor, owner: Tensor, owners: Tensor) -> Tensor | None:
    """-log of the attention that cells of a garment give to that garment's words; None when no cell has any.

    q: [B,L,d], k: [B,77,d] of one head; owner: int8 [B,h,w] at the latents' size; owners: [B,77], whose word it is.
    """
    factor = round((owner.shape[1] * owner.shape[2] / q.shape[1]) ** 0.5)
    cells = owner[:, ::factor, ::factor].flatten(1).long()
    own = (owners[:, None] == cells[:, :, None]) & (cells >= 0)[:, :, None]
    asked = own.any(-1)
    if not asked.any():
        return None
    share = (q.float() @ k.float().transpose(1, 2) * q.shape[-1] ** -0.5).log_softmax(-1)
    return -share.masked_fill(~own, -torch.inf).logsumexp(-1)[asked].mean()


def garment_means(clean: Tensor, owner: Tensor) -> Tensor:
    """[B,C,h,w] -> the same, each cell replaced by the mean over its garment's cells; 0 where there is no garment."""
    out = torch.zeros_like(clean)
    for garment in range(int(owner.max()) + 1):
        cells = (owner == garment)[:, None].to(clean)
        out += cells * (clean * cells).sum((2, 3), keepdim=True) / cells.sum((2, 3), keepdim=True).clamp(min=1)
    return out


def telling_loss(given: Tensor, readout: nn.Linear, means: Tensor, owner: Tensor) -> Tensor:
    """How far a linear readout of a text attention's output [B,L,width] is from the mean latent of the cell's
    garment.
    """
    factor = round((owner.shape[1] * owner.shape[2] / given.shape[1]) ** 0.5)
    cells = owner[:, ::factor, ::factor].flatten(1) >= 0
    wanted = means[:, :, ::factor, ::factor].flatten(2).transpose(1, 2)
    return ((readout(given).float() - wanted) ** 2).mean(-1)[cells].mean()


def pose_told(batch: Designs) -> Tensor:
    """bool [B]: figures whose pose can be told from a drawing or from the noisy latent itself."""
    return ((batch.pose.flatten(1).amax(1) > 0) & (batch.seen > 0)) | (batch.t < HIGH)


def slope_of(loss: Tensor, guess: Tensor) -> Tensor:
    """Gradient of a loss on the guesses, which pushes are measured by; zeros where nothing is learnt."""
    if not loss.requires_grad:
        return torch.zeros_like(guess)
    return torch.autograd.grad(loss, guess, retain_graph=True)[0]


def push(guess: Tensor, seen: Tensor, loss: Tensor, length: Tensor | float) -> Tensor:
    """A loss whose gradient on `guess` has the direction of `loss`'s on `seen`, the same cut off from the network, and
    this length.
    """
    (direction,) = torch.autograd.grad(loss, seen)
    return (guess * direction * (length / direction.norm().clamp(min=1e-12))).sum()


class DesignerTraining(lightning.LightningModule):
    def __init__(self, latents: Latents, numbers: list[int], config: Config = Config(), recipe: Recipe = Recipe()):  # noqa: B008
        super().__init__()
        empty = [1 + numbers.index(START)] + [1 + numbers.index(END)] * (LENGTH - 1)
        self.register_buffer("no_words", torch.tensor(empty)[None], persistent=False)
        self.latents, self.numbers, self.recipe = latents, numbers, recipe
        self.network = Designer(config, words=1 + len(numbers))
        widths = [b.norm2.weight.shape[0] for b in self.network.unet.modules() if isinstance(b, Block)]
        self.network.text.requires_grad_(False)  # taught before (`design_meaning`): words that keep their meaning
        self.readouts = nn.ModuleList(nn.Linear(width, config.latent_channels) for width in widths[-PROBED:])
        self.cuts = CutReadouts(widths[-PROBED:])
        unet = self.network.unet  # behind the last upsampling, and before the end
        places = [
            (unet.output_blocks[-3][-1], unet.output_blocks[-3][-1].conv.weight.shape[0]),
            (unet.out[1], unet.out[2].weight.shape[1]),
        ]
        self.layout = LayoutReadouts(places)
        alpha, sigma = louder(NOISE_SCALE)
        self.register_buffer("alpha", alpha.float(), persistent=False)
        self.register_buffer("sigma", sigma.float(), persistent=False)
        self.ema = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.position = 0
        self.decay: tuple[int, int] | None = None  # (first step, steps) of the decay to zero
        self.critic: DesignCritic | None = None
        self.frozen_pose = False  # the pose ControlNet stays as it is
        self.only_transformers = False  # of the UNet's matrices and kernels, no others learn
        self.pace = 1.0  # share of the learning rates
        self.drawing_parameters = {
            name: p
            for name, p in self.network.named_parameters()
            if name.startswith(("unet.", "control.")) and p.requires_grad
        }
        self.rollouts: Rollouts | None = None
        self.sharpening: Sharpening | None = None

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Begin with these tensors of the networks, as far as they are given: fresh optimizer, fresh average."""
        self.network.load_state_dict(state, strict=False)
        self.ema = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def setup(self, stage: str) -> None:
        """Before the processes are told what is learnt."""
        for name, parameter in self.drawing_parameters.items():
            if name.startswith("control."):
                parameter.requires_grad_(not self.frozen_pose)
            else:
                parameter.requires_grad_(not self.only_transformers or parameter.ndim == 1 or in_transformer(name))

    def configure_optimizers(self):
        hidden, others = split_parameters(self.network, ENDS)
        # What is frozen keeps its place in the optimizer: a run's state fits with or without it.
        own = {id(p) for p in self.drawing_parameters.values()}
        learnt = [
            [p for p in group if p.requires_grad or id(p) in own]
            for group in (
                hidden,
                [*others, *self.readouts.parameters(), *self.layout.parameters(), *self.cuts.parameters()],
            )
        ]
        return MuonAdamW(*learnt, self.recipe.lr, self.recipe.adam_lr, weight_decay=self.recipe.weight_decay)

    def on_train_batch_start(self, batch, batch_idx) -> None:
        for group in self.trainer.optimizers[0].param_groups:
            group["scale"] = self.rate(self.global_step)

    def rate(self, step: int) -> float:
        warm = self.pace * min(1.0, (step + 1) / self.recipe.warm_up)
        if self.decay is None:
            return warm
        first, steps = self.decay
        return warm * max(0.0, 1 - (step - first) / steps)

    def training_step(self, numbered: tuple[int, Designs], _) -> Tensor:
        number, batch = numbered
        # what the other processes make of this step counts too
        self.position = max(self.position, number + self.trainer.world_size - self.global_rank)
        loss, parts = self.loss(batch, torch.Generator().manual_seed(number))
        self.log_dict(parts, prog_bar=True)
        return loss

    def loss(self, batch: Designs, generator: torch.Generator) -> tuple[Tensor, dict]:
        probes: list = []
        guess, clean = self.guess(batch, generator, probes)
        error = ((guess - clean) ** 2).mean(1)
        weight = 1 + self.recipe.on_garments * (batch.owner >= 0)
        if batch.labels is not None:
            weight = weight + self.recipe.on_edges * garment_edges(batch.labels)
        rows = (error * weight).sum((1, 2)) / weight.sum((1, 2))
        rows = rows * (1 / self.sigma[batch.t] ** 2).clamp(max=CLEANEST)
        parts = {"loss": rows.mean()}
        last = batch.t >= 990
        if last.any():
            parts["x0"] = rows[last].mean()
        more, measured = self._supervised(probes[-PROBED:], clean, batch)
        slope = slope_of(rows.mean(), guess)
        pushes = []
        if self.critic is not None and self.recipe.critic:
            pushes.append(self._judged(slope, guess, batch, generator))
        if self.recipe.colour:
            pushes.append(self._coloured(slope, guess, clean, batch))
        if batch.course is not None:
            pushes.append(self._rolled(slope, batch, generator))
        if self.sharpening is not None:
            pushes.append(self._sharpened(slope, guess, clean, batch, generator))
        for pushed, judged in pushes:
            more, measured = more + pushed, measured | judged
        return rows.mean() + more, parts | measured

    def guess(self, batch: Designs, generator: torch.Generator, probes: list | None = None) -> tuple[Tensor, Tensor]:
        """(the clean latents that the network expects of noised ones, the true ones), [B,C,h,w] each."""
        with torch.no_grad(), torch.autocast(batch.person.device.type, enabled=False):
            clean = self.latents.encode(batch.person.float() / 255)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        alpha, sigma = (table[batch.t][:, None, None, None] for table in (self.alpha, self.sigma))
        noised = alpha * clean + sigma * noise
        answer = self.network(noised, batch.t, batch.words, batch.pose.float() / 255, batch.seen, probes)
        return clean_latent(answer.float(), noised / alpha, sigma / alpha), clean

    def _judged(self, slope: Tensor, guess: Tensor, batch: Designs, generator) -> tuple[Tensor, dict]:
        """(a loss whose gradient on the guesses is the critic's push, how often it reads what was asked for)."""
        told = pose_told(batch)
        if not told.any():
            return guess.sum() * 0, {}
        length = self.recipe.critic * slope.norm()
        return self._asked(guess[told], batch.joints[told], batch.asked[told], length, generator)

    def _asked(self, guess: Tensor, joints: Tensor, asked: Tensor, length: Tensor, generator) -> tuple[Tensor, dict]:
        """What the critic misses in guesses that are roughened as those were that it was taught on: a pattern too faint
        for that is no answer.
        """
        seen = guess.detach().requires_grad_()
        with torch.enable_grad():
            loss, right = self.critic.loss(roughened(seen, generator), joints, asked)
        return push(guess, seen, loss, length), {"asked": loss.detach(), "shown": right}

    def _coloured(self, slope: Tensor, guess: Tensor, clean: Tensor, batch: Designs) -> tuple[Tensor, dict]:
        """(a loss whose gradient on the guesses pushes garments towards their colours, how far they are off)."""
        told = pose_told(batch)
        if not told.any():
            return guess.sum() * 0, {}
        labels = None if batch.labels is None else batch.labels[told]
        length = self.recipe.colour * slope.norm()
        return self._in_their_colours(guess[told], clean[told], batch.owner[told], labels, batch.t[told], length)

    def _in_their_colours(self, guess: Tensor, clean: Tensor, owner: Tensor, labels, t, length) -> tuple[Tensor, dict]:
        seen = guess.detach().requires_grad_()
        with torch.enable_grad():
            loss = colour_error(seen, clean, owner, inside(owner, labels), t, self.latents)
        if loss is None:
            return guess.sum() * 0, {}
        return push(guess, seen, loss, length), {"colour": 255 * loss.detach().sqrt()}

    def _rolled(self, slope: Tensor, batch: Designs, generator) -> tuple[Tensor, dict]:
        """Critic and colours asked of the designer's own rollouts, which are then a step further."""
        if self.rollouts is None:
            self.rollouts = Rollouts(self.sigma / self.alpha)
        self.rollouts.begin(batch.course, torch.randn(slope.shape[1:], generator=generator).to(slope))
        now = self.rollouts.now()
        own, unprompted = self._both_guesses(now)
        self.rollouts.advance(now, own.detach(), unprompted)
        with torch.no_grad(), torch.autocast(own.device.type, enabled=False):
            clean = self.latents.encode(now.person.float() / 255)
        length = self.recipe.rollout * slope.norm()
        asked, shown = self._asked(own, now.joints, now.asked, length, generator)
        coloured, off = self._in_their_colours(own, clean, now.owner, now.labels, now.t, self.recipe.colour * length)
        measured, loss = shown | off, asked + coloured
        finished = now.t < FINISHED
        if self.sharpening is not None and finished.any():
            error = (length / len(slope) ** 0.5 / own[0].numel() ** 0.5).expand_as(own[finished])
            everywhere = torch.ones(len(error), 1, *now.person.shape[2:], device=own.device)
            crisper, judged = self.sharpening(own[finished], clean[finished], everywhere, error, generator, own=True)
            loss, measured = loss + crisper, measured | {name: judged[name] for name in ("fooled",) if name in judged}
        return loss, {f"own {name}": value for name, value in measured.items()}

    def _both_guesses(self, now) -> tuple[Tensor, Tensor]:
        """Clean latents guessed of rollouts with their prompts, and (without gradient) with none."""
        alpha, ratio = self.alpha[now.t][:, None, None, None], now.ratio[:, None, None, None]
        noised, network = now.latent * alpha, self.network
        control = network.control(noised, now.pose.float() / 255, now.t)

        def guessed(words: Tensor) -> Tensor:
            answer = network.unet(noised, now.t, network.text(words), control)
            self.layout.forget()
            return clean_latent(answer.float(), now.latent, ratio)

        own = guessed(now.words)
        with torch.no_grad():
            return own, guessed(self.no_words.expand_as(now.words))

    def _sharpened(self, slope: Tensor, guess: Tensor, clean: Tensor, batch: Designs, generator) -> tuple[Tensor, dict]:
        """The sharpening of the guesses that in use are results: a loss and what it measured."""
        last = batch.t < LOWEST + NEAREST
        if not last.any():
            return guess.sum() * 0, {}
        everywhere = torch.ones(int(last.sum()), 1, *batch.person.shape[2:], device=guess.device)
        return self.sharpening(guess[last], clean[last], everywhere, slope[last], generator)

    def _supervised(self, probes: list, clean: Tensor, batch: Designs) -> tuple[Tensor, dict]:
        """(loss, its parts): how far words are from telling a garment's colour (told) and cut, how far its cells are
        from reading its words (read), how far the features are from the figure's layout."""
        means = garment_means(clean, batch.owner)
        told = [
            telling_loss(out, readout, means, batch.owner)
            for (_, _, out), readout in zip(probes, self.readouts, strict=True)
        ]
        others = batch.owners.masked_fill(batch.grounds >= 0, -1)
        read = [reading_loss(q[:, head], k[:, head], batch.owner, words)
                for q, k, _ in probes for head, words in enumerate((batch.grounds, others))]  # fmt: skip
        read = [loss for loss in read if loss is not None] or [told[0] * 0]
        parts = {"told": sum(told) / len(told), "read": sum(read) / len(read)}
        where = 1 + self.recipe.on_edges * garment_edges(batch.labels)
        parts["layout"] = self.layout(layout_shares(batch.labels, batch.ink), where)
        parts["cut"] = self.cuts([out for _, _, out in probes], batch.cuts, batch.owner)
        weights = {
            "told": self.recipe.telling, "read": self.recipe.reading, "layout": self.recipe.layout,
            "cut": self.recipe.cut,
        }  # fmt: skip
        return sum(weights[name] * part for name, part in parts.items()), parts

    def on_train_batch_end(self, *_) -> None:
        current = self.network.state_dict()
        keep = min(self.recipe.ema, (1 + self.global_step) / (10 + self.global_step))
        torch._foreach_lerp_(list(self.ema.values()), [current[name] for name in self.ema], 1 - keep)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["atelier"] = {"ema": self.ema, "position": self.position}
        if self.sharpening is not None:
            checkpoint["atelier"]["sharpening"] = self.sharpening.state_dict()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.ema, self.position = checkpoint["atelier"]["ema"], checkpoint["atelier"]["position"]
        if self.sharpening is not None and "sharpening" in checkpoint["atelier"]:
            self.sharpening.load_state_dict(checkpoint["atelier"]["sharpening"])
