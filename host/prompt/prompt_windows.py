"""Timetables in the host: stage borders as sigmas of a model, and conditionings that are active in half-open windows.

The host's own percent windows are closed at both ends, so a step on a border runs two prompts. Here neighbouring
windows are one float32 step apart: every float32 sigma lies in exactly one, whatever the scheduler or the sampler.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import comfy.model_sampling as sampling
import numpy as np
import torch

from ...craft.prompt.prompt_text import LEVELS
from ...craft.prompt.timetable import Timetable

if TYPE_CHECKING:
    from ..host_types import Model, ModelSampling

ALWAYS_START, ALWAYS_END = 999999999.9, 0.0  # what the host itself uses for percents 0 and 1
# A border between two integer timesteps belongs to neither; half a step, less a hair so that an exact tie goes to the
# noisier side.
TIE = 0.501
FIRST_CHUNK = 77


def border_sigma(model_sampling: ModelSampling, level: float) -> float:
    """The smallest sigma (float32 value) that still counts as `level` or noisier.

    Discrete models round a sigma to its nearest integer timestep, so the border lies half a timestep lower. Elsewhere
    the level is a fraction of the model's own time axis (level/1000, the axis of the host's percents).
    """
    if _counts_timesteps(model_sampling):
        timesteps = model_sampling.num_timesteps
        sigma = float(model_sampling.sigma(torch.tensor(level * timesteps / LEVELS - TIE)))
    elif isinstance(model_sampling, sampling.ModelSamplingDiscreteEDM):
        at = torch.tensor(level * len(model_sampling.log_sigmas) / LEVELS - TIE).clamp(min=0)
        low = int(at)
        sigma = float(torch.lerp(model_sampling.log_sigmas[low], model_sampling.log_sigmas[low + 1], at - low).exp())
    else:
        # A step on the border may have been rounded to either side of it; it belongs to the noisier stage.
        sigma = float(model_sampling.percent_to_sigma(1.0 - level / LEVELS)) * (1.0 - 1e-6)
    return float(np.float32(sigma))


def border_percent(level: float) -> float:
    """The host percent of a border, for when no model is known: right for all of its discrete schedules."""
    return min(max(1.0 - (level - TIE) / (LEVELS - 1.0), 0.0), 1.0)


def windows(model_sampling: ModelSampling, stops: list[float]) -> tuple[tuple[float, float], ...]:
    """(timestep_start, timestep_end) for stages that end at the given falling levels (the last one, 0, never ends).

    Raises ValueError when two borders are the same sigma for this model.
    """
    borders = [border_sigma(model_sampling, stop) for stop in stops[:-1]]
    for level, upper, lower in zip(stops[1:], borders, borders[1:]):
        if lower >= upper:
            raise ValueError(
                f"The stage that ends at level {level:g} is too short for this model: both its borders are "
                f"sigma {upper:.6g}."
            )
    starts = [ALWAYS_START, *borders]
    ends = [*(float(np.nextafter(np.float32(sigma), np.float32(np.inf))) for sigma in borders), ALWAYS_END]
    return tuple((start, end) for start, end in zip(starts, ends))


def resolved(timetable: Timetable, model: Model) -> Timetable:
    """The timetable with its windows in sigmas of this MODEL."""
    model_sampling = model.get_model_object("model_sampling")
    return replace(timetable, windows=windows(model_sampling, [stage.stop for stage in timetable.stages]))


def resolved_for_standard_schedule(timetable: Timetable) -> Timetable:
    """The timetable with its windows on Stable Diffusion's noise schedule, where no MODEL is known."""
    return replace(timetable, windows=windows(sampling.ModelSamplingDiscrete(), [s.stop for s in timetable.stages]))


def levels_of(model_sampling: ModelSampling, sigmas: torch.Tensor) -> list[float]:
    """The noise level 0..1000 of each sigma: a discrete model's integer timestep, else found on its time axis."""
    if _counts_timesteps(model_sampling):
        known = [0.0 if s <= 0 else float(model_sampling.timestep(s)) for s in sigmas.float()]
        return [level * LEVELS / model_sampling.num_timesteps for level in known]
    return [_level_by_bisection(model_sampling, float(sigma)) for sigma in sigmas]


def restrict(
    conditioning: list, start_level: float, stop_level: float, model: Model | None = None, *, first_chunk: bool = False
) -> list:
    """The conditioning, active only while stop_level <= level < start_level (1000 and 0 mean: no end on that side).

    With a model the window is exact in its sigmas; without one the host's percents are set. A window that the
    conditioning already has is kept: the overlap counts, and entries without overlap are left out.
    first_chunk: keep only the first 77 tokens. Raises ValueError when nothing is left.
    """
    kept = overlap(conditioning, start_level, stop_level, model, first_chunk=first_chunk)
    if not kept:
        raise ValueError(
            f"The conditioning is never active between levels {start_level:g} and {stop_level:g}; its own "
            "window lies elsewhere."
        )
    return kept


def overlap(
    conditioning: list, start_level: float, stop_level: float, model: Model | None = None, *, first_chunk: bool = False
) -> list:
    """`restrict`, but an empty list where nothing is left."""
    if start_level <= stop_level:
        raise ValueError(
            f"The window {start_level:g}-{stop_level:g} is empty; levels fall from 1000 to 0, so write the "
            "higher one first."
        )
    if model is None:
        limits = [_restricted_by_percent(values, start_level, stop_level) for _, values in conditioning]
    else:
        model_sampling = model.get_model_object("model_sampling")
        window = _window(model_sampling, start_level, stop_level)
        limits = [_restricted_by_sigma(values, window, model_sampling) for _, values in conditioning]
    return [
        [tensor[:, :FIRST_CHUNK] if first_chunk else tensor, values]
        for (tensor, _), values in zip(conditioning, limits)
        if values is not None
    ]


def _window(model_sampling, start_level: float, stop_level: float) -> tuple[float, float]:
    start = ALWAYS_START if start_level >= LEVELS else border_sigma(model_sampling, start_level)
    if stop_level <= 0:
        return start, ALWAYS_END
    return start, float(np.nextafter(np.float32(border_sigma(model_sampling, stop_level)), np.float32(np.inf)))


def _restricted_by_sigma(values: dict, window: tuple[float, float], model_sampling) -> dict | None:
    percents = [(values.get(a, 0.0), values.get(b, 1.0)) for a, b in _PERCENT_KEYS if a in values or b in values]
    start, end = min(window[0], values.get("timestep_start", math.inf)), max(window[1], values.get("timestep_end", 0.0))
    for first, last in percents:
        start = min(start, float(model_sampling.percent_to_sigma(first)))
        end = max(end, float(model_sampling.percent_to_sigma(last)))
    if start < end:
        return None
    rest = {key: value for key, value in values.items() if key not in _ALL_PERCENT_KEYS}
    return {**rest, "timestep_start": start, "timestep_end": end}


def _restricted_by_percent(values: dict, start_level: float, stop_level: float) -> dict | None:
    if "timestep_start" in values or "timestep_end" in values:
        raise ValueError(
            "This conditioning already has a window in sigmas; connect the MODEL, so that both can be compared."
        )
    start = 0.0 if start_level >= LEVELS else border_percent(start_level)
    end = 1.0 if stop_level <= 0 else border_percent(stop_level)
    for first, last in _PERCENT_KEYS:
        start, end = max(start, values.get(first, 0.0)), min(end, values.get(last, 1.0))
    if start >= end:
        return None
    rest = {key: value for key, value in values.items() if key not in _ALL_PERCENT_KEYS}
    return {**rest, "start_percent": start, "end_percent": end}


# The host writes the second pair when a text encoder carries scheduled hooks; it would overwrite our windows.
_PERCENT_KEYS = (("start_percent", "end_percent"), ("clip_start_percent", "clip_end_percent"))
_ALL_PERCENT_KEYS = {key for pair in _PERCENT_KEYS for key in pair}


def _counts_timesteps(model_sampling) -> bool:
    """True where sigma(t) takes integer timesteps and timestep(sigma) gives them back (SD1.5, SD2, SDXL, LCM)."""
    return isinstance(model_sampling, sampling.ModelSamplingDiscrete) and not isinstance(
        model_sampling, (sampling.ModelSamplingDiscreteEDM, sampling.StableCascadeSampling)
    )


def _level_by_bisection(model_sampling, sigma: float) -> float:
    low, high = 0.0, LEVELS
    for _ in range(40):
        middle = (low + high) / 2
        if float(model_sampling.percent_to_sigma(1.0 - middle / LEVELS)) <= sigma:
            low = middle
        else:
            high = middle
    return low
