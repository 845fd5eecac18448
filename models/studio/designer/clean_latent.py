"""How a designer's answer becomes a clean latent."""

from __future__ import annotations

import torch
from torch import Tensor

PREDICTION = "guess and spread"  # its name in a file's metadata
SPREADS = (-12.0, 4.0)  # log variances that count


def clean_latent(answer: Tensor, noised: Tensor, sigma: Tensor) -> Tensor:
    """The clean latent [B,C,h,w] that is to be expected where `noised` = clean + sigma * noise was seen.

    answer: [B,2C,h,w], the network's guess of the clean latent and the log variance that the guess leaves open, cell by
    cell. With a normal prior N(guess, variance) the expectation is guess + variance / (variance + sigma^2) *
    (noised - guess). A plain ground is told by its guess, fine detail is let through; so the network need not carry the
    noise of all channels, as v- or eps-prediction asks of it (Li and He 2025, "Back to Basics", on wide tokens).
    Our own; no published system of the four does it. sigma: broadcastable, the noise's deviation, as the host has it.
    """
    guess, spread = answer.chunk(2, 1)
    variance = spread.clamp(*SPREADS).exp()
    return guess + variance / (variance + sigma**2) * (noised - guess)


def open_spread(bias: Tensor, variance: float = 0.3) -> None:
    """Begin with the same variance everywhere: `bias` [2C] of a network's last convolution."""
    with torch.no_grad():
        bias[len(bias) // 2 :] = torch.tensor(variance).log()
