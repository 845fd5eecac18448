"""Pictures of drafts: decoded by a VAE, or the host's quick colours of a latent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ..host_types import Model, Vae

QUICK_SCALE = 8


def can_draw(model: Model, vae: Vae) -> None:
    """Raises ValueError, before any sampling, when there is neither a VAE nor a quick preview for these latents."""
    if vae is None and model.get_model_object("latent_format").latent_rgb_factors is None:
        raise ValueError("These latents have no quick preview; connect the VAE to see the drafts.")


def pictures(model: Model, vae: Vae, latents: torch.Tensor) -> torch.Tensor:
    """IMAGE [B, H, W, 3] in 0..1 of clean latents [B, C, h, w] in the LATENT's scale; without a VAE small ones,
    enlarged."""
    if vae is not None:
        return vae.decode(latents)
    form = model.get_model_object("latent_format")
    factors = torch.tensor(form.latent_rgb_factors, dtype=torch.float32)
    bias = torch.tensor(form.latent_rgb_factors_bias or [0.0, 0.0, 0.0])
    colours = torch.einsum("bchw,cr->bhwr", form.process_in(latents.float()), factors) + bias
    colours = ((colours + 1) / 2).clamp(0, 1)
    return colours.repeat_interleave(QUICK_SCALE, 1).repeat_interleave(QUICK_SCALE, 2)
