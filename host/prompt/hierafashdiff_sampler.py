"""HieraFashDiff's own samplers as host SAMPLER objects: the draft sampler (plain DDIM) and the local edit loop.

Both work on the host's x (variance exploding, x = latent * sqrt(1 + sigma^2)) at the model call only; the loop itself
runs on variance-preserving latents like the original, and the result is the original's final latent, ready for the VAE.
Differences to the host's ddim and noise mask: the last step ends at t = 0 and keeps a little noise, the first noise is
not scaled by sigma alone, and the background of an edit gets fresh noise at each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.samplers
import torch
from tqdm.auto import trange

from ...craft.counts import check_count
from ...models.hierafashdiff import ddim, schedules

if TYPE_CHECKING:
    from ..host_types import Model, Sampler

# (step index, "step" or "background") -> standard normal noise in the shape of the latent
NoiseSource = Callable[[int, str], torch.Tensor]


def published_sigmas(model: Model, timesteps: list[int], *, clean_end: bool = False) -> torch.Tensor:
    """SIGMAS for a falling list of integer timesteps; the end is t = 0 as published (sigma 0.029), or 0.

    Raises ValueError for a model that does not count 1000 timesteps.
    """
    model_sampling = model.get_model_object("model_sampling")
    if getattr(model_sampling, "num_timesteps", None) != schedules.TIMESTEPS:
        raise ValueError(
            f"HieraFashDiff's timesteps need a model with 1000 discrete timesteps; this one samples with "
            f"{type(model_sampling).__name__}. Use the host's schedulers for it."
        )
    sigmas = [float(model_sampling.sigma(torch.tensor(float(t)))) for t in timesteps]
    return torch.tensor([*sigmas, 0.0 if clean_end else float(model_sampling.sigma(torch.tensor(0.0)))])


def draft_sampler(eta: float = 0.0, noise_source: NoiseSource | None = None) -> Sampler:
    """SAMPLER: the published draft sampler (`ddim_hlg`). noise_source replaces the seeded noise of eta > 0."""
    return comfy.samplers.KSAMPLER(_sample_draft, {"eta": eta, "noise_source": noise_source})


def edit_sampler(mask: torch.Tensor, eta: float = 0.0, noise_source: NoiseSource | None = None) -> Sampler:
    """SAMPLER: the published local edit (`ddim_lle`). mask [B,H,W]: 1 = edit; made binary and taken nearest to the
    latent.

    Run it on the LATENT of the picture, without a noise mask of the host's (it is ignored).
    """
    if not (mask >= 0.5).any():
        raise ValueError(
            "The edit mask is empty (no value reaches 0.5), so nothing would change; draw or choose a part."
        )
    return comfy.samplers.KSAMPLER(_sample_edit, {"mask": mask, "eta": eta, "noise_source": noise_source})


@torch.no_grad()
def _sample_draft(model, x, sigmas, extra_args=None, callback=None, disable=None, *, eta=0.0, noise_source=None):
    source = noise_source or _seeded_noise(x, extra_args)
    # The original starts from noise of variance 1 in its own scale, whatever the first timestep is.
    x = model.latent_image / (1 + sigmas[0] ** 2).sqrt() + model.noise
    for i in trange(len(sigmas) - 1, disable=disable):
        x = _step(model, x, sigmas, i, extra_args, callback, eta, source)
    return x


@torch.no_grad()
def _sample_edit(model, x, sigmas, extra_args=None, callback=None, disable=None, *, mask, eta=0.0, noise_source=None):
    source = noise_source or _seeded_noise(x, extra_args)
    x0, keep = model.latent_image, ddim.latent_mask(mask, *x.shape[-2:]).to(x)
    check_count(len(keep), "masks", len(x), "latents")
    x = ddim.q_sample(x0, _abar(sigmas[0]), model.noise)
    for i in trange(len(sigmas) - 1, disable=disable):
        background = source(i, "background")
        x = _step(model, x, sigmas, i, extra_args, callback, eta, source)
        x = ddim.blend_edit(x, x0, keep, _abar(sigmas[i]), background)
    if sigmas[-1] == 0:  # a clean end asked for: the published loop would leave the background noised at t = 1
        x = (1.0 - keep) * x0 + keep * x
    return x


def _step(model, x, sigmas, i, extra_args, callback, eta, source):
    """One guided DDIM step on variance-preserving x."""
    comfy.model_management.throw_exception_if_processing_interrupted()
    sigma, abar, abar_prev = sigmas[i], _abar(sigmas[i]), _abar(sigmas[i + 1])
    # The host's noise mask must not blend as well: the edit has its own.
    arguments = {**(extra_args or {}), "denoise_mask": None}
    exploded = x * (1 + sigma**2).sqrt()
    denoised = model(exploded, sigma * x.new_ones([x.shape[0]]), **arguments)
    if callback is not None:
        callback({"x": exploded, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
    noise = source(i, "step") if eta > 0 else None
    return ddim.ddim_step(denoised, (exploded - denoised) / sigma, abar, abar_prev, eta, noise)


def _abar(sigma: torch.Tensor) -> torch.Tensor:
    return 1.0 / (1.0 + sigma**2)


def _seeded_noise(x: torch.Tensor, extra_args: dict | None) -> NoiseSource:
    """Fresh noise a call, made on the CPU so that a seed gives one picture on every device.

    Not the seed itself: its first noise is the one that the host starts the run with.
    """
    generator = torch.Generator("cpu").manual_seed((int((extra_args or {}).get("seed") or 0) + 1) % 2**63)
    return lambda step, use: torch.randn(x.shape, generator=generator).to(x)
