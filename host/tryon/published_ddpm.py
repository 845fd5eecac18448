"""FastFit's published sampling run as a host SAMPLER and SIGMAS: DDPM (Ho et al. 2020, eq. 6-7, small variance).

One generator makes the starting noise and then one draw a step, as in the released pipeline: the same seed gives the
same picture as the original does, on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.samplers
import torch
from tqdm.auto import trange

from .fastfit_model import FastFitModel

if TYPE_CHECKING:
    from ..host_types import Model, Sampler


def sigmas(model: Model, steps: int) -> torch.Tensor:
    """The published run's noise levels for `model` (a ModelPatcher), float32 [steps + 1], the last 0."""
    if not isinstance(model.model, FastFitModel):
        raise ValueError(
            f"The MODEL is {type(model.model).__name__}; the published schedule needs the one that Load Try-On "
            "Model gives."
        )
    return _levels(model.get_model_object("model_sampling"), model.model.model_config.schedule, steps)


def _levels(model_sampling, schedule, steps: int) -> torch.Tensor:
    return torch.cat([model_sampling.sigmas[schedule.timesteps(steps)].float().cpu(), torch.zeros(1)])


def sampler(draws: Callable[[int], torch.Tensor] | None = None) -> Sampler:
    """A host SAMPLER. draws: noise of step i, for replaying recorded draws; without it the run's seed decides."""
    return PublishedDDPM(_ddpm, extra_options={"draws": draws})


class PublishedDDPM(comfy.samplers.KSAMPLER):
    def max_denoise(self, model_wrap: Any, sigmas: torch.Tensor) -> bool:
        """Whole published runs start from the bare noise, x_0 = noise, at whatever level their first step lies.

        The host scales noise that way only at its own highest level. A part of a run, or a start from a picture, begins
        at another level than the whole run of so many steps would, and is scaled as the host does.
        """
        inner = model_wrap.inner_model
        schedule = getattr(inner.model_config, "schedule", None)
        steps = len(sigmas) - 1
        if schedule is None or not 1 <= steps <= schedule.num_train_timesteps:
            return super().max_denoise(model_wrap, sigmas)
        whole = _levels(inner.model_sampling, schedule, steps)
        return math.isclose(float(whole[0]), float(sigmas[0]), rel_tol=1e-6) or super().max_denoise(model_wrap, sigmas)


@torch.no_grad()
def _ddpm(model, x, sigmas, extra_args=None, callback=None, disable=None, draws=None):
    extra_args = extra_args or {}
    draws = draws or _seeded_draws(x, extra_args.get("seed"))
    schedule = getattr(model.inner_model.inner_model.model_config, "schedule", None)
    ones = x.new_ones([x.shape[0]])
    for i in trange(len(sigmas) - 1, disable=disable):
        comfy.model_management.throw_exception_if_processing_interrupted()
        sigma, after = sigmas[i], sigmas[i + 1]
        clean = model(x, sigma * ones, **extra_args)
        if schedule is not None and schedule.clip_sample:
            clean = clean.clamp(-schedule.clip_sample_range, schedule.clip_sample_range)
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": clean})
        x = _posterior(x, clean, sigma.double(), after.double(), draws(i).to(x))
    return x


def _posterior(x, clean, sigma, after, noise):
    """A draw of q(x_prev | x, clean), all x in the host's scale, x = clean + sigma * noise."""
    bar, bar_prev = 1 / (sigma**2 + 1), 1 / (after**2 + 1)
    alpha = bar / bar_prev
    of_clean = bar_prev.sqrt() * (1 - alpha) / (1 - bar)
    of_x = alpha.sqrt() * (1 - bar_prev) / (1 - bar)
    spread = ((1 - bar_prev) / (1 - bar) * (1 - alpha)).clamp(min=1e-20).sqrt()
    scale = bar_prev.rsqrt()  # from the variance-preserving scale of the formulas back to the host's
    return (scale * of_clean).to(x) * clean + (scale * of_x * bar.sqrt()).to(x) * x + (scale * spread).to(x) * noise


def _seeded_draws(x: torch.Tensor, seed: int | None) -> Callable[[int], torch.Tensor]:
    """Noise after the starting noise out of one CPU generator. The first draw is the one that the run started from."""
    generator = torch.Generator("cpu")
    generator.manual_seed(seed if seed is not None else torch.initial_seed())
    torch.randn(x.shape, generator=generator)
    return lambda i: torch.randn(x.shape, generator=generator)
