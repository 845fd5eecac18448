"""HieraFashDiff's sampling steps on variance-preserving latents: x_t = sqrt(abar) x0 + sqrt(1 - abar) noise.

Source: its released code, which uses DDIM (arXiv 2010.02502, eq. 12 and 16) with eta 0 and, for edits, a noised
background.
"""

from __future__ import annotations

import torch
from torch import Tensor


def alphas_cumprod(timesteps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """abar of every training timestep, float32 [timesteps]; betas are linear in their square root."""
    betas = torch.linspace(start**0.5, end**0.5, timesteps, dtype=torch.float64) ** 2
    return torch.cumprod(1.0 - betas, 0).float()


def q_sample(x0: Tensor, abar: Tensor | float, noise: Tensor) -> Tensor:
    """The latent x0 noised to the level of abar."""
    abar = torch.as_tensor(abar, dtype=x0.dtype, device=x0.device)
    return abar.sqrt() * x0 + (1.0 - abar).sqrt() * noise


def ddim_noise_share(abar: Tensor, abar_prev: Tensor, eta: float) -> Tensor:
    """Standard deviation of the fresh noise of one DDIM step (eq. 16 of the DDIM paper); 0 where eta is 0."""
    return eta * ((1.0 - abar_prev) / (1.0 - abar) * (1.0 - abar / abar_prev)).clamp(min=0).sqrt()


def ddim_step(
    pred_x0: Tensor, eps: Tensor, abar: Tensor, abar_prev: Tensor, eta: float = 0.0, noise: Tensor | None = None
) -> Tensor:
    """One DDIM step from abar to abar_prev, given the prediction as x0 and eps. noise is needed where eta > 0."""
    share = ddim_noise_share(abar, abar_prev, eta)
    x = abar_prev.sqrt() * pred_x0 + (1.0 - abar_prev - share**2).clamp(min=0).sqrt() * eps
    return x if noise is None or eta == 0 else x + share * noise


def blend_edit(x: Tensor, x0: Tensor, mask: Tensor, abar: Tensor | float, noise: Tensor) -> Tensor:
    """Keep x where mask is 1 and put the noised original elsewhere.

    The published code noises the original to the level that the step started from, one step noisier than x.
    """
    return (1.0 - mask) * q_sample(x0, abar, noise) + mask * x


def latent_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask [B,H,W] or [B,1,H,W] in 0..1 as binary [B,1,height,width]: >= 0.5 first, then nearest."""
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    return torch.nn.functional.interpolate((mask >= 0.5).float(), size=(height, width))
