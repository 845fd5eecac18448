"""Recipe of the studio try-on network: FastFit's UNet on drawn pairs.

v-prediction at zero terminal SNR, three samples of four at the last timestep (pure one-step regression through the
garments' K,V), the rest at any level; the unconditional case is FastFit's zero latents. One attention head of the last
level is told where each cell of the figure lies in its flat-lay, and linear readouts of the features the figure's
layout (`layout`): the renderer knows both; nothing of them is left at use.
Warm-up, a stable phase of any length, then a decay to zero that is forked from it: `--decay N`, in which the one-step
results can be made crisp (`sharpening.py`): `--sharpen`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from ....models.fastfit.network import Config, FastFitUNet
from ..half import half
from ..latents import PATCH, Latents
from ..layout import LayoutReadouts, layout_shares
from ..muon import MuonAdamW, split_parameters
from ..noise import alpha_sigma
from ..sharpening import Sharpening
from .inputs import LAST, person_input, references
from .pairs import Batch

NEW_START = 1_700_000  # number of the first batch of a run that begins with trained weights


@dataclass(frozen=True)
class Recipe:
    batch: int = 8
    any_level: float = 0.25  # share of samples at a uniform timestep instead of the last one
    empty: float = 0.10  # share of rows whose garments are zero latents
    supervision: float = 0.3
    layout: float = 0.5
    outside: float = 0.1  # loss weight outside the mask
    small: float = 8.0  # largest extra loss weight of a cell of a garment that covers little: bags, shoes
    detected: float = 0.5  # share of batches with masks and poses found in the picture, as in use
    lr: float = 0.02
    adam_lr: float = 1e-3
    weight_decay: float = 0.025
    warm_up: int = 50
    ema: float = 0.998


def correspondence_loss(
    probe: tuple[Tensor, Tensor],
    batch: Batch,
    inside: Tensor,
    generator: torch.Generator | None = None,
    sigma: float = 0.5,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of one head's attention against a Gaussian round the flat-lay cell that each person cell shows.

    probe: (q [B,L,d], k [B,R*L+L,d]), references first. inside: bool [B,L], cells to supervise. weights: float [B,L],
    1 or more, of the cells; the heaviest are taken first. Returns (loss, share of cells whose strongest key is the
    right one or a neighbour of it).
    """
    q, k = (x.float() for x in probe)
    rows, length = inside.shape
    height, width = batch.owner.shape[1:]
    weights = torch.ones(inside.shape, device=q.device) if weights is None else weights
    # A quarter of the cells of every row, the supervised ones first and among them by chance, teaches as much as all.
    first = inside * weights + torch.rand(inside.shape, generator=generator).to(q.device)
    chosen = first.topk(length // 4, 1).indices
    inside, weights = inside.gather(1, chosen), weights.gather(1, chosen)
    q = q.gather(1, chosen[:, :, None].expand(-1, -1, q.shape[2]))
    target = (batch.coords / PATCH - 0.5).view(rows, length, 2).gather(1, chosen[:, :, None].expand(-1, -1, 2))
    owner = batch.owner.view(rows, length).gather(1, chosen).long()
    base = target.round().long()
    shifts = torch.tensor([(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], device=q.device)
    cells = base[:, :, None] + shifts
    cells = torch.stack([cells[..., 0].clamp(0, width - 1), cells[..., 1].clamp(0, height - 1)], -1)
    weight = torch.exp(-((cells - target[:, :, None]) ** 2).sum(-1) / (2 * sigma**2))
    weight = weight / weight.sum(-1, keepdim=True)
    index = owner.clamp(min=0)[:, :, None] * length + cells[..., 1] * width + cells[..., 0]
    logits = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
    log_share = logits.log_softmax(-1).gather(2, index)
    loss = -(weight * log_share).sum(-1)[inside]
    loss = (loss * weights[inside]).sum() / weights[inside].sum()
    with torch.no_grad():
        best = logits.argmax(-1)
        hit = (best[:, :, None] == index).any(-1)[inside].float().mean()
    return loss, hit


def small_garments(owner: Tensor, most: float) -> Tensor:
    """float [B,h,w]: weight of each cell, larger where the garment that it shows covers few cells.

    The largest garment of a row counts 1, another one as many times more as it is smaller, up to `most`; cells of no
    garment count 1. owner: int8 [B,h,w], the garment that a cell shows or -1.
    """
    numbers = torch.arange(max(int(owner.max()) + 1, 1), device=owner.device)
    shown = owner[:, None] == numbers[:, None, None]  # [B,garments,h,w]
    areas = shown.sum((2, 3)).float()
    times = (areas.amax(1, keepdim=True) / areas.clamp(min=1)).clamp(1, most)
    return torch.where(owner >= 0, (shown * times[:, :, None, None]).sum(1), torch.ones_like(areas[:1, :1])[:, :, None])


class TryOnTraining(lightning.LightningModule):
    def __init__(self, latents: Latents, config: Config = Config(), recipe: Recipe = Recipe()):  # noqa: B008  frozen
        super().__init__()
        self.network, self.latents, self.recipe = FastFitUNet(config), latents, recipe
        unet = self.network  # normalised features: where those of the level below have come up, and before the end
        self.layout = LayoutReadouts(
            [(norm, norm.num_channels) for norm in (unet.up_blocks[-1].resnets[0].norm1, unet.conv_norm_out)]
        )
        alpha, sigma = alpha_sigma()
        self.register_buffer("alpha", alpha.float(), persistent=False)
        self.register_buffer("sigma", sigma.float(), persistent=False)
        self.ema = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.position = 0  # batches drawn so far: a resumed run goes on behind them
        self.decay: tuple[int, int] | None = None  # (first step, steps) of the decay to zero
        self.sharpening: Sharpening | None = None

    def start_from(self, network: FastFitUNet) -> None:
        """Begin with another network's weights: fresh optimizer, figures that no earlier run has drawn."""
        self.network.load_state_dict(network.state_dict())
        self.ema = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.position = NEW_START

    def configure_optimizers(self):
        ends = ("conv_in", "condition_conv_in", "conv_out", "class_embedding")
        hidden, others = split_parameters(self.network, ends)
        others = [*others, *self.layout.parameters()]
        return MuonAdamW(hidden, others, self.recipe.lr, self.recipe.adam_lr, weight_decay=self.recipe.weight_decay)

    def on_train_batch_start(self, batch, batch_idx) -> None:
        for group in self.trainer.optimizers[0].param_groups:
            group["scale"] = self.rate(self.global_step)

    def rate(self, step: int) -> float:
        warm = min(1.0, (step + 1) / self.recipe.warm_up)
        if self.decay is None:
            return warm
        first, steps = self.decay
        return warm * max(0.0, 1 - (step - first) / steps)

    def training_step(self, numbered: tuple[int, Batch], _) -> Tensor:
        number, batch = numbered
        self.position = max(self.position, number + 1)
        generator = torch.Generator().manual_seed(number)
        loss, parts = self.loss(batch, generator)
        self.log_dict(parts, prog_bar=True)
        return loss

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict]:
        recipe, rows = self.recipe, len(batch.person)
        person, pose, flats = (x.float() / 255 for x in (batch.person, batch.pose, batch.flats))
        mask = batch.mask.float()
        with torch.no_grad(), torch.autocast(person.device.type, enabled=False):
            clean = self.latents.encode(person)
            cell_mask, masked = person_input(person, mask, pose, self.latents)
        t = torch.full((rows,), LAST)
        anywhere = torch.rand(rows, generator=generator) < recipe.any_level
        t = torch.where(anywhere, torch.randint(0, LAST + 1, (rows,), generator=generator), t).to(clean.device)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        alpha, sigma = self.alpha[t][:, None, None, None], self.sigma[t][:, None, None, None]
        noisy = alpha * clean + sigma * noise
        empty = (torch.rand(rows, generator=generator) < recipe.empty).to(clean.device)
        kv = references(self.network, flats, batch.labels, self.latents, empty)
        probes: list = []
        self.layout.forget()  # what the pass over the garments left
        v = self.network(torch.cat([noisy, cell_mask, masked], 1), t, kv, probes=probes)
        target = alpha * noise - sigma * clean
        touched = F.max_pool2d(mask, PATCH)
        small = small_garments(batch.owner, recipe.small)
        weight = touched * small[:, None] + recipe.outside * (1 - touched)
        error = ((v.float() - target) ** 2).mean(1, keepdim=True)
        main = (error * weight).sum() / weight.sum()
        inside = (touched[:, 0] > 0) & (batch.owner >= 0) & ~empty[:, None, None]
        parts = {"x0": (error * touched).sum() / touched.sum()}
        if self.sharpening is not None:
            pushed, more = self._pushed(main, v, noisy, clean, mask, (t == LAST) & ~empty, generator)
            main, parts = main + pushed, parts | more
        if batch.atr is not None and recipe.layout:
            parts["layout"] = self.layout(layout_shares(batch.atr, batch.ink), weight[:, 0])
            main = main + recipe.layout * parts["layout"]
        self.layout.forget()
        if not inside.any() or not recipe.supervision:
            return main, parts
        cells = inside.flatten(1), generator
        losses, hits = zip(*(correspondence_loss(p, batch, *cells, weights=small.flatten(1)) for p in probes[-2:]))
        parts |= {"where": sum(losses) / len(losses), "hit": hits[-1]}
        return main + recipe.supervision * sum(losses) / len(losses), parts

    def _pushed(self, main, v, noisy, clean, mask, rows, generator) -> tuple[Tensor, dict]:
        """The sharpening of the one-step rows: a loss and what it measured."""
        if not rows.any():
            return main * 0, {}
        alpha, sigma = self.alpha[LAST], self.sigma[LAST]
        (slope,) = torch.autograd.grad(main, v, retain_graph=True)
        made = alpha * noisy[rows] - sigma * v[rows].float()
        return self.sharpening(made, clean[rows], mask[rows], slope[rows].float() / sigma, generator)

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


def export(
    state: dict[str, Tensor], config: Config, path: Path, note: str = "", guided: list[float] | None = None
) -> None:
    """Write the fp16 file that Load Try-On Model takes, with what its tensors do not tell as metadata. guided: shares
    of guidance by channel (`tryon_guidance`); None: the same for all.
    """
    from safetensors.torch import save_file

    described = {
        "format": "fastfit", "prediction": "v", "zsnr": True, "beta_schedule": "linear", "linear_start": 0.00085,
        "linear_end": 0.012, "head_dim": config.head_dim, "latent_channels": config.latent_channels,
        "latent_scale": 1.0,
        "down": PATCH, "network": asdict(config), "note": note,
        "trained": {"person": [192, 256], "garment": [192, 256], "whole": True, "steps": 1, "cfg": 1.25},
    }  # fmt: skip
    if guided is not None:
        described["guided"] = guided
    rounded = {name: half(tensor) for name, tensor in state.items()}
    save_file(rounded, str(path), metadata={"atelier": json.dumps(described)})
