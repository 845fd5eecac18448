"""Recipe of the studio autoencoder: the encoder is exact (principal components), the decoder learns the way back.

`tune` mixes in the try-on network's own one-step outputs against the true pictures, which sharpens what people see.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.studio.autoencoder import THIN, VAE_SCALE, host_file, make_decoder
from .latents import PATCH, Latents
from .muon import MuonAdamW, split_parameters
from .picture_loss import picture_loss
from .tryon.pairs import DrawnPairs

CROP = 16  # latent cells
SEED = 2_000_000
LATENT_NOISE = 0.05


class Crops(torch.utils.data.IterableDataset):
    """Endless (latent, picture) crops of drawn figures and flat-lays; `outputs`: (latents, pictures) to mix in."""

    def __init__(
        self,
        latents: Latents,
        position: int = 0,
        batch: int = 4,
        outputs: tuple[Tensor, Tensor] | None = None,
        share: float = 0.65,
    ):
        self.latents, self.position, self.batch, self.outputs, self.share = latents, position, batch, outputs, share

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        number = self.position
        while True:
            yield self.make(number)
            number += 1

    def make(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([SEED, number])
        if self.outputs is not None and rng.random() < self.share:
            rows = torch.from_numpy(rng.integers(len(self.outputs[0]), size=self.batch))
            z, pictures = self.outputs[0][rows].float(), self.outputs[1][rows].float() / 255
        else:
            drawn = DrawnPairs(self.batch, seed=SEED).make(number)
            flat = torch.from_numpy(rng.random(self.batch) < 0.25)[:, None, None, None]
            pictures = torch.where(flat, drawn.flats[:, 0], drawn.person).float() / 255
            z = self.latents.encode(pictures)
        height, width = z.shape[2:]
        top, left = int(rng.integers(height - CROP + 1)), int(rng.integers(width - CROP + 1))
        z = z[:, :, top : top + CROP, left : left + CROP]
        pictures = pictures[:, :, 8 * top : 8 * (top + CROP), 8 * left : 8 * (left + CROP)]
        return z.contiguous(), pictures.contiguous()


@torch.no_grad()
def start_from_mean_colours(decoder: torch.nn.Sequential, latents: Latents) -> None:
    """Initial weights with which the decoder already shows every patch in its mean colour.

    Three channels carry that colour, linear in the latent, through every block; all else starts small and random.
    Without this the hue is what a decoder learns last.
    """
    for name, parameter in decoder.named_parameters():
        if parameter.ndim == 1:
            torch.nn.init.zeros_(parameter)
            continue
        torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        if name.endswith("conv.4.weight"):
            parameter.mul_(0.1)
            parameter[:3] = 0
    first, *ups, last = [layer for layer in decoder if isinstance(layer, torch.nn.Conv2d)]
    first.weight[:3] = 0
    first.weight[:3, :, 1, 1] = latents.decode_matrix.view(3, PATCH**2, -1).mean(1) / VAE_SCALE
    first.bias[:3] = latents.mean.view(3, PATCH**2).mean(1)
    last.weight.mul_(0.1)
    for layer in (*ups, last):
        layer.weight[:3] = 0 if layer is not last else layer.weight[:3]
        layer.weight[:3, :3, 1, 1] = torch.eye(3)


class DecoderTraining(lightning.LightningModule):
    def __init__(self, latents: Latents, steps: int, decay_from: float = 0.4, lr: float = 0.02):
        super().__init__()
        self.latents, self.steps, self.decay_from, self.lr, self.position = latents, steps, decay_from, lr, 0
        self.decoder = make_decoder(latents.channels, THIN)
        start_from_mean_colours(self.decoder, latents)

    def configure_optimizers(self):
        return MuonAdamW(*split_parameters(self.decoder, ("1.", "19.")), self.lr, self.lr / 10)

    def on_train_batch_start(self, batch, batch_idx) -> None:
        done = self.global_step / self.steps
        scale = min(1.0, (self.global_step + 1) / 30) * min(1.0, (1 - done) / (1 - self.decay_from))
        for group in self.trainer.optimizers[0].param_groups:
            group["scale"] = max(scale, 0.0)

    def training_step(self, batch: tuple[Tensor, Tensor], _) -> Tensor:
        z, pictures = batch
        self.position += 1
        z = z + LATENT_NOISE * torch.randn_like(z)
        made = self.decoder(z * VAE_SCALE).float()
        loss = picture_loss(made, pictures)
        self.log_dict({"loss": loss, "psnr": -10 * torch.log10(F.mse_loss(made.detach(), pictures))}, prog_bar=True)
        return loss

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["atelier"] = {"position": self.position}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.position = checkpoint["atelier"]["position"]


def export(module: DecoderTraining, path: Path) -> None:
    """Write the fp16 file that the host's VAE class takes."""
    from safetensors.torch import save_file

    tensors = host_file(module.latents.encode_matrix, module.latents.mean, module.decoder.state_dict())
    save_file({name: value.half().contiguous() for name, value in tensors.items()}, str(path))
