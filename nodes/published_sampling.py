"""Try-on stage: the sampler and the schedule of FastFit's own pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tryon import CATEGORY, MODEL_TIP

if TYPE_CHECKING:
    from ..host.host_types import Model


class PublishedSampler:
    TITLE = "Published Sampler (FastFit)"
    CATEGORY = CATEGORY
    DESCRIPTION = "The stochastic DDPM steps of FastFit's own pipeline, as a SAMPLER. Use it with Published Schedule."
    SEARCH_ALIASES = ["ddpm", "FastFit sampler"]
    RETURN_TYPES = ("SAMPLER",)
    RETURN_NAMES = ("sampler",)
    OUTPUT_TOOLTIPS = ("For SamplerCustom or SamplerCustomAdvanced.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {}}

    def execute(self) -> tuple:
        from ..host.tryon import published_ddpm

        return (published_ddpm.sampler(),)


class PublishedSchedule:
    TITLE = "Published Schedule (FastFit)"
    CATEGORY = CATEGORY
    DESCRIPTION = "The noise levels of FastFit's own run (DDPM, leading timesteps with an offset of 1), as SIGMAS."
    SEARCH_ALIASES = ["ddpm schedule", "FastFit schedule", "sigmas"]
    RETURN_TYPES = ("SIGMAS",)
    RETURN_NAMES = ("sigmas",)
    OUTPUT_TOOLTIPS = ("For SamplerCustom or SamplerCustomAdvanced.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": MODEL_TIP}),
                "steps": (
                    "INT",
                    {"default": 50, "min": 1, "max": 1000, "tooltip": "Published: 50; the authors' demo uses 30."},
                ),
            }
        }

    def execute(self, model: Model, steps: int) -> tuple:
        from ..host.tryon import published_ddpm

        return (published_ddpm.sigmas(model, steps),)


NODES = [PublishedSampler, PublishedSchedule]
