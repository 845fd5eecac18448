"""What the try-on network is given, in training and in use: the person's channels and the garments' K,V."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ....models.fastfit.network import FastFitUNet
from ..latents import PATCH

LAST = 999  # the timestep at which nothing of the clean picture is left


class Encoder(Protocol):
    def encode(self, picture: Tensor) -> Tensor: ...


def person_input(person: Tensor, mask: Tensor, pose: Tensor, latents: Encoder) -> tuple[Tensor, Tensor]:
    """(mask [B,1,h,w] nearest, latent of the masked person with the pose inside the mask), as FastFit's pipeline makes
    them.

    person, pose: [B,3,H,W] in 0..1; mask: [B,1,H,W] 0/1. In -1..1 terms the pose enters as 0..1, so only the upper
    half.
    """
    masked = person * (1 - mask) + mask * (pose + 1) / 2
    return mask[:, :, ::PATCH, ::PATCH], latents.encode(masked)


def references(network: FastFitUNet, flats: Tensor, labels: Tensor, latents: Encoder, empty: Tensor | None = None):
    """K,V of R garments a row, joined along the tokens. flats: [B,R,3,H,W] in 0..1; empty: bool [B], rows with zero
    latents.
    """
    rows, count = labels.shape
    z = latents.encode(flats.flatten(0, 1))
    if empty is not None:
        z = z * (~empty).repeat_interleave(count).to(z)[:, None, None, None]
    kv = network.reference(z, labels.flatten())
    return [tuple(x.unflatten(0, (rows, count)).flatten(1, 2) for x in layer) for layer in kv]
