"""The studio try-on in one step, in plain torch: for evaluation, sheets, and for tuning the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..models.fastfit.network import Config, FastFitUNet
from ..models.studio.autoencoder import StudioAutoencoder
from .latents import Latents
from .noise import alpha_sigma
from .pairs import Batch
from .tryon import LAST, person_input, references


@dataclass
class Studio:
    """The shipped try-on: network, autoencoder, and the latents' matrices read from the autoencoder's exact encoder."""

    network: FastFitUNet
    autoencoder: StudioAutoencoder

    def encode(self, picture: Tensor) -> Tensor:
        return self.autoencoder.encode(picture)

    def decode(self, latent: Tensor) -> Tensor:
        return self.autoencoder.decode(latent).clamp(0, 1)


def load_studio(weights: Path) -> Studio:
    """From tryon.safetensors and autoencoder.safetensors in a folder; fp32 on the CPU."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(str(weights / "tryon.safetensors"), "pt") as file:
        import json

        described = json.loads(file.metadata()["atelier"])["network"]
    config = Config(**{key: tuple(value) if isinstance(value, list) else value for key, value in described.items()})
    network = FastFitUNet(config)
    network.load_state_dict({k: v.float() for k, v in load_file(str(weights / "tryon.safetensors")).items()})
    autoencoder = StudioAutoencoder(config.latent_channels)
    autoencoder.load_state_dict({k: v.float() for k, v in load_file(str(weights / "autoencoder.safetensors")).items()})
    return Studio(network.eval(), autoencoder.eval())


@torch.no_grad()
def predict(network: FastFitUNet, latents: Latents | Studio, batch: Batch, *, guidance: float = 1.0, seed: int = 0,
            garments: str | Batch = "own") -> Tensor:
    """Latents [B,C,h,w] after one step from pure noise.

    guidance: cfg against FastFit's zero latents. garments: "own"; "none" (an emptied cache: plain self-attention); or
    another batch, whose garments are read instead.
    """
    person, pose = batch.person.float() / 255, batch.pose.float() / 255
    cell_mask, masked = person_input(person, batch.mask.float(), pose, latents)
    alpha, sigma = (float(table[LAST]) for table in alpha_sigma())
    noise = torch.randn(masked.shape, generator=torch.Generator().manual_seed(seed))
    t = torch.full((len(person),), LAST)
    source = garments if isinstance(garments, Batch) else batch
    inputs = torch.cat([noise * (sigma**2 + alpha**2) ** 0.5, cell_mask, masked], 1)

    def velocity(empty: bool) -> Tensor:
        kv = None
        if garments != "none":
            rows = torch.full((len(person),), empty)
            kv = references(network, source.flats.float() / 255, source.labels, latents, rows)
        return network(inputs, t, kv).float()

    v = velocity(False)
    if guidance != 1.0 and garments != "none":
        without = velocity(True)
        v = without + guidance * (v - without)
    return alpha * noise - sigma * v


def paste(made: Tensor, batch: Batch) -> Tensor:
    """[B,3,H,W] in 0..1: what was made inside the mask, the person's own pixels outside."""
    mask = batch.mask.float()
    return made * mask + batch.person.float() / 255 * (1 - mask)
