"""The ideation sampler: few steps, an ideation source fused in at high noise, and a batch whose pictures avoid each
other.

Without a source (or with strength 0) and without repulsion a step is the host's Euler step, bit for bit. The fusion
weight and the steps are EquiFashion's (`models/equifashion/fusion.py`); everything happens in the latent scale that the
model works in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import latent_preview
import torch
from comfy.k_diffusion.sampling import to_d

from ...models.equifashion import fusion
from . import unfinished_latent
from .ideation_source import GeneratorSource, ModelSource

if TYPE_CHECKING:
    from ..host_types import Model

PUBLISHED = "published levels"
SAMPLERS = ("euler", "ddim")
FORMS = ("ddim step", "published step")


@dataclass(frozen=True)
class Fusion:
    """strength multiplies alpha (0: no fusion); the source acts while the level is in start >= t >= end of 0..1000.

    form: the diffusion half is a DDIM step (reconstructed, what the card's 8 steps need) or, as the published code
    writes it, the mean of the one-level posterior."""

    strength: float = 1.0
    gamma: float = fusion.GAMMA
    start: float = 1000.0
    end: float = 0.0
    form: str = FORMS[0]

    def alpha(self, t: float) -> float:
        inside = self.end <= t <= self.start
        return min(1.0, self.strength * fusion.fusion_weight(t, self.gamma)) if inside else 0.0


def sigmas_of(model: Model, scheduler: str, steps: int) -> torch.Tensor:
    """steps + 1 sigmas, the last 0: of a host scheduler, or of the published list (which may hold more than
    `steps`)."""
    sampling = model.get_model_object("model_sampling")
    if scheduler != PUBLISHED:
        return comfy.samplers.calculate_sigmas(sampling, scheduler, steps)
    if isinstance(sampling, comfy.model_sampling.CONST):
        levels = torch.tensor(fusion.levels_of_steps(steps)) / fusion.LEVELS
        return torch.cat([sampling.sigma(levels * getattr(sampling, "multiplier", 1.0)), torch.zeros(1)])
    return torch.cat([sampling.sigma(torch.tensor(fusion.levels_of_steps(steps))), torch.zeros(1)])


def run(
    model: Model,
    positive: list,
    negative: list,
    latent: dict,
    *,
    seed: int,
    steps: int,
    stop_after: int,
    cfg: float,
    scheduler: str = PUBLISHED,
    sampler: str = "euler",
    repulsion: float = 0.0,
    settings: Fusion = Fusion(),
    source: GeneratorSource | ModelSource | None = None,
) -> tuple[dict, float, torch.Tensor]:
    """(unfinished LATENT, its sigma, the sigmas from there to 0) after `stop_after` of the schedule's steps.

    latent: LATENT to start from (its size and batch; an empty one, or a picture to begin near). Progress, preview and
    cancel go through the host's callback. Raises ValueError before sampling for settings that do not fit together.
    """
    sigmas = sigmas_of(model, scheduler, steps)
    if not 1 <= stop_after < len(sigmas):
        raise ValueError(
            f"stop_after is {stop_after}, but the schedule has {len(sigmas) - 1} steps; choose 1 to {len(sigmas) - 1}."
        )
    if settings.form not in FORMS:
        raise ValueError(f"Form {settings.form!r} is unknown; expected one of {', '.join(FORMS)}.")
    if settings.form == FORMS[1] and isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.CONST):
        raise ValueError(
            f"The {FORMS[1]} is defined on Stable Diffusion's noise schedule; use {FORMS[0]!r} with this flow model."
        )
    samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
    if source is not None and settings.strength > 0:
        source = source.prepared(model, positive, negative, samples, seed)
    else:
        source = None
    noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
    seen: dict[str, torch.Tensor] = {}
    show = latent_preview.prepare_callback(model, stop_after, seen)
    stepper = Stepper(model, settings, source, repulsion)
    if isinstance(source, ModelSource):
        out = _in_turns(
            model,
            stepper,
            source,
            noise,
            samples,
            sigmas[: stop_after + 1],
            positive,
            negative,
            cfg,
            sampler,
            latent.get("noise_mask"),
            show,
            seed,
        )
    else:
        used = model if source is None else source.attached_to(model)
        function = comfy.samplers.KSAMPLER(stepper.sample, inpaint_options={"random": sampler == "ddim"})
        out = comfy.sample.sample_custom(
            used,
            noise,
            cfg,
            function,
            sigmas[: stop_after + 1],
            positive,
            negative,
            samples,
            noise_mask=latent.get("noise_mask"),
            callback=show,
            disable_pbar=True,
            seed=seed,
        )
    drafts = model.model.process_latent_out(seen["x0"].float().cpu())
    sigma = float(sigmas[stop_after])
    return unfinished_latent.marked(latent, out, sigma, model, drafts), sigma, sigmas[stop_after:]


class Stepper:
    """The sampler function of one run. Holds settings only; `source` draws its own seeded noise."""

    def __init__(self, model, settings: Fusion, source, repulsion: float):
        self.sampling = model.get_model_object("model_sampling")
        self.settings, self.source, self.repulsion = settings, source, repulsion

    @torch.no_grad()
    def sample(
        self,
        model: Any,
        x: torch.Tensor,
        sigmas: torch.Tensor,
        extra_args: dict | None = None,
        callback: Callable | None = None,
        disable: bool | None = None,
    ) -> torch.Tensor:
        ones = x.new_ones([x.shape[0]])
        for i in range(len(sigmas) - 1):
            denoised = model(x, sigmas[i] * ones, **(extra_args or {}))
            denoised = fusion.repelled(denoised, self.repulsion)
            if callback is not None:
                callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
            alpha = self.alpha(sigmas[i])
            proposal = None
            if alpha > 0 and isinstance(self.source, GeneratorSource):
                known = self.level(sigmas[i] * self.source.noise_scale)  # the generator's level of this noise
                proposal = self.source.proposal(x, sigmas[i], sigmas[i + 1], known)
            x = self.step(x, denoised, sigmas[i], sigmas[i + 1], alpha, proposal)
        return x

    def level(self, sigma: torch.Tensor) -> float:
        """The discrete level 0..999 of a sigma; for flow models sigma itself times 1000."""
        if isinstance(self.sampling, comfy.model_sampling.CONST):
            return float(sigma) * fusion.LEVELS
        return float(self.sampling.timestep(sigma))

    def alpha(self, sigma: torch.Tensor) -> float:
        return 0.0 if self.source is None else self.settings.alpha(self.level(sigma))

    def step(
        self,
        x: torch.Tensor,
        denoised: torch.Tensor,
        sigma: torch.Tensor,
        sigma_next: torch.Tensor,
        alpha: float,
        proposal: torch.Tensor | None,
    ) -> torch.Tensor:
        """One step down; `proposal` is the ideation source's latent at sigma_next."""
        if alpha > 0 and self.settings.form == FORMS[1]:
            onward = self._published(x, denoised, sigma, sigma_next)
        else:
            onward = x + to_d(x, sigma, denoised) * (sigma_next - sigma)
        return onward if alpha == 0 or proposal is None else fusion.fused(proposal, onward, alpha)

    def _published(self, x, denoised, sigma, sigma_next):
        """Posterior mean one level down, taken for the latent at the next step's level, as the published code does."""
        t = int(self.level(sigma))
        abar = float(1 / (1 + sigma**2))
        before = float(1 / (1 + self.sampling.sigmas[t - 1] ** 2)) if t > 0 else 1.0
        z = fusion.posterior_mean(x * abar**0.5, denoised, abar, before)
        return z * float(1 + sigma_next**2) ** 0.5


def _in_turns(model, stepper, source, noise, samples, sigmas, positive, negative, cfg, sampler, mask, show, seed):
    """Step by step, the artist's model and the source's model in turn, each in a run of its own: two runs inside each
    other on one checkpoint (a LoRA of the same base) would break the host."""
    total = len(sigmas) - 1
    current, last = samples, {}
    for i in range(total):
        comfy.model_management.throw_exception_if_processing_interrupted()
        pair = sigmas[i : i + 2]
        alpha = stepper.alpha(pair[0])
        started = torch.zeros_like(noise) if i else noise
        before = current

        def one_step(inner, x, two, extra_args=None, callback=None, disable=None, i=i, alpha=alpha):
            with torch.no_grad():
                last["x"] = x
                denoised = fusion.repelled(
                    inner(x, two[0] * x.new_ones([x.shape[0]]), **(extra_args or {})), stepper.repulsion
                )
                last["denoised"] = denoised
                show(i, denoised, x, total)
                return stepper.step(x, denoised, two[0], two[1], alpha, None)

        function = comfy.samplers.KSAMPLER(one_step, inpaint_options={"random": sampler == "ddim"})
        current = comfy.sample.sample_custom(
            model,
            started,
            cfg,
            function,
            pair,
            positive,
            negative,
            before,
            noise_mask=mask,
            disable_pbar=True,
            seed=seed,
        )
        if alpha > 0:
            proposal = source.proposal(started, before, pair)
            mixed = fusion.fused(proposal, model.model.process_latent_in(current), alpha)
            current = model.model.process_latent_out(mixed)
    return current
