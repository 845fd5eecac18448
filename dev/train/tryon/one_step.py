"""The studio try-on in one step, in plain torch: for evaluation, sheets, and for tuning the decoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ....models.fastfit.channel_guidance import shared
from ....models.fastfit.network import Config, FastFitUNet
from ....models.studio.autoencoder import VAE_SCALE, linear_encoder, make_decoder, make_encoder, thin_decoder
from ..latents import PATCH, Latents
from ..noise import alpha_sigma
from .inputs import LAST, person_input, references
from .pairs import Batch


@dataclass
class Studio:
    """The try-on at work: the network, pictures in 0..1 to latents, and the way back; shares of guidance by channel."""

    network: FastFitUNet
    encoder: Callable[[Tensor], Tensor]
    decoder: Callable[[Tensor], Tensor]
    shares: Tensor | None = None

    def encode(self, picture: Tensor) -> Tensor:
        return self.encoder(picture)

    def decode(self, latent: Tensor) -> Tensor:
        return self.decoder(latent).clamp(0, 1)

    def predict(self, batch: Batch, **settings) -> Tensor:
        """`predict` with the file's own shares of guidance."""
        return predict(self.network, self, batch, shares=self.shares, **settings)


def load_studio(weights: Path) -> Studio:
    """From tryon.safetensors and autoencoder.safetensors in a folder: what the host loads, in fp32 on the CPU."""
    path = weights / "tryon.safetensors"
    guided = described(path).get("guided")
    shares = None if guided is None else torch.tensor(guided)
    return Studio(load_network(path), *load_autoencoder(weights / "autoencoder.safetensors"), shares)


def described(path: Path) -> dict:
    """What a studio file's metadata says."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        return json.loads((file.metadata() or {}).get("atelier", "{}"))


def load_network(path: Path) -> FastFitUNet:
    """The plain network of a studio try-on file; its layout is in the file's metadata."""
    from safetensors.torch import load_file

    said = described(path)
    if "network" not in said:
        raise ValueError(
            f"{path.name} does not say how its network is laid out; expected a file written by `dev.py train tryon`."
        )
    config = Config(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in said["network"].items()}
    )
    network = FastFitUNet(config)
    network.load_state_dict({k: v.float() for k, v in load_file(str(path)).items()})
    return network.eval()


def load_autoencoder(path: Path) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """(encode, decode) of a studio autoencoder file, at a fraction of the layout's work: the one convolution that its
    encoder is, and its decoder without the zeros that pad it.
    """
    from safetensors.torch import load_file

    tensors, decoder = {k: v.float() for k, v in load_file(str(path)).items()}, load_decoder(path)
    encoder = make_encoder(tensors["taesd_decoder.1.weight"].shape[1])
    encoder.load_state_dict(_under(tensors, "taesd_encoder."))
    kernel, bias = linear_encoder(encoder)
    return (lambda picture: F.conv2d(picture, kernel, bias, stride=PATCH)), (lambda latent: decoder(latent * VAE_SCALE))


def load_decoder(path: Path) -> torch.nn.Module:
    """The decoder of a studio autoencoder file without the zeros that pad it, frozen; it takes latents times
    VAE_SCALE.
    """
    from safetensors.torch import load_file

    tensors = _under({k: v.float() for k, v in load_file(str(path)).items()}, "taesd_decoder.")
    channels = tensors["1.weight"].shape[1]
    decoder = make_decoder(channels)
    decoder.load_state_dict(thin_decoder(tensors, channels))
    return decoder.requires_grad_(False)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def from_runs(runs: Path, latents: Latents, run: str = "tryon") -> Studio:
    """The averaged network of a run that is still going on, with the decoder trained so far (none yet: the
    linear one).
    """
    network = FastFitUNet()
    network.load_state_dict(
        torch.load(runs / run / "last.ckpt", map_location="cpu", weights_only=True)["atelier"]["ema"]
    )
    decode = latents.decode
    for name in ("autoencoder-tuned", "autoencoder"):
        if (runs / name / "last.ckpt").exists():
            state = torch.load(runs / name / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"]
            decoder = make_decoder(latents.channels)
            decoder.load_state_dict(_under(state, "decoder."))
            decoder.requires_grad_(False)
            decode = lambda latent, decoder=decoder: decoder(latent * VAE_SCALE)  # noqa: E731
            break
    return Studio(network.eval(), latents.encode, decode)


@torch.no_grad()
def predict(
    network: FastFitUNet,
    latents: Latents | Studio,
    batch: Batch,
    *,
    guidance: float = 1.0,
    seed: int = 0,
    garments: str | Batch = "own",
    shares: Tensor | None = None,
) -> Tensor:
    """Latents [B,C,h,w] after one step from pure noise.

    guidance: cfg against FastFit's zero latents. shares: of it by channel, [C]. garments: "own"; "none" (an emptied
    cache: plain self-attention); or another batch, whose garments are read instead.
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
        if shares is not None:
            v = shared(v, without, guidance, shares)
        v = without + guidance * (v - without)
    return alpha * noise - sigma * v


def inside(z: Tensor, latents: Latents | Studio, batch: Batch) -> Tensor:
    """Latents with the person's own in every cell that the mask does not touch."""
    touched = F.max_pool2d(batch.mask.float(), PATCH)
    return z * touched + latents.encode(batch.person.float() / 255) * (1 - touched)


def paste(made: Tensor, batch: Batch) -> Tensor:
    """[B,3,H,W] in 0..1: what was made inside the mask, the person's own pixels outside."""
    mask = batch.mask.float()
    return made * mask + batch.person.float() / 255 * (1 - mask)
