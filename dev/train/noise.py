"""The studio networks' noise levels: the host's table for v-prediction with zero terminal SNR (Lin et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS, LINEAR_START, LINEAR_END = 1000, 0.00085, 0.012
LOWEST = 50  # of the designer: cleaner latents are left alone, the guess from here is the result


def alpha_sigma() -> tuple[Tensor, Tensor]:
    """(alpha, sigma), float64 [1000] each, alpha^2 + sigma^2 = 1, alpha at t = 999 all but 0.

    Betas as in Stable Diffusion, cumulated, their roots shifted and stretched so that the last is 0; the host keeps
    4.8973451890853435e-08 there so that its sigma stays finite (4519).
    """
    betas = torch.linspace(LINEAR_START**0.5, LINEAR_END**0.5, STEPS, dtype=torch.float64) ** 2
    root = torch.cumprod(1 - betas, 0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    cumulated = root**2
    cumulated[-1] = 4.8973451890853435e-08
    return cumulated.sqrt(), (1 - cumulated).sqrt()


def louder(scale: float) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) as `alpha_sigma`, with `scale` times as much noise beside the picture at every timestep.

    What a timestep leaves to be decided depends on how much a picture repeats itself: many wide channels show a collar
    through noise that hides it in Stable Diffusion's four (Chen 2023, "On the Importance of Noise Scheduling").
    """
    alpha, sigma = alpha_sigma()
    ratio = scale * sigma / alpha
    alpha = (1 + ratio**2).rsqrt()
    return alpha, ratio * alpha
