"""Patches that live for one sampling run.

A node adds a wrapper to its clone of the model; the wrapper gets the run's own copy of the model options just before
the sampler starts and changes that copy. Nothing outlives the run, and whatever other packs put on the model, before or
after, is there to be chained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import comfy.ldm.modules.attention as attention
import comfy.patcher_extension
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

if TYPE_CHECKING:
    import torch

    from .host_types import Model

RUN = comfy.patcher_extension.WrappersMP.SAMPLER_SAMPLE
Attention = (
    Callable  # (q, k, v, extra_options) -> output, all [rows, tokens, heads * dim], before the output projection
)


def add_run_wrapper(model: Model, key: str, prepare: Callable) -> None:
    """Have `prepare(guider, sigmas, options)` called at the start of every sampling run of `model` (a clone of the
    caller's).

    `options` is the run's copy of the model options, free to be changed. Raises what `prepare` raises.
    """

    def wrapper(executor, guider, sigmas, extra_args, *args, **kwargs):
        options = comfy.patcher_extension.copy_nested_dicts(extra_args["model_options"])
        prepare(guider, sigmas, options)
        return executor(guider, sigmas, {**extra_args, "model_options": options}, *args, **kwargs)

    model.add_wrapper_with_key(RUN, key, wrapper)


def transformer_blocks(unet: UNetModel) -> Iterator[tuple[tuple[str, int, int], attention.BasicTransformerBlock]]:
    """((section, block number, index in the block), transformer block) in the order of the forward pass."""
    sections = {"input": unet.input_blocks, "middle": [unet.middle_block], "output": unet.output_blocks}
    for section, blocks in sections.items():
        for number, block in enumerate(blocks):
            for layer in block.modules() if block is not None else ():
                if isinstance(layer, attention.SpatialTransformer):
                    for index, transformer in enumerate(layer.transformer_blocks):
                        yield (section, number, index), transformer


def unet_of(model: Model, what_for: str) -> UNetModel:
    """The UNet of a MODEL. Raises ValueError when it is no UNet."""
    unet = model.get_model_object("diffusion_model")
    if not isinstance(unet, UNetModel):
        raise ValueError(
            f"{what_for} works on UNet checkpoints (SD1.5, SD2, SDXL and kin); this model is a {type(unet).__name__}."
        )
    return unet


def wrap_attention(
    options: dict, kind: str, place: tuple[str, int, int], make: Callable[[Attention], Attention]
) -> None:
    """Put `make(previous)` into the attn1 or attn2 slot of one transformer block; `previous` is what was there, or the
    host's attention."""
    slots = options["transformer_options"].setdefault("patches_replace", {}).setdefault(kind, {})
    previous = slots.get(place, slots.get(place[:2], host_attention))
    slots[place] = make(previous)


def host_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict) -> torch.Tensor:
    """The attention that the host would have run without a replacement. Looked up at call time: the host may switch
    it."""
    return attention.optimized_attention(
        q,
        k,
        v,
        extra_options["n_heads"],
        attn_precision=extra_options.get("attn_precision"),
        transformer_options=extra_options,
    )


def chunk_rows(extra_options: dict, rows: int) -> int:
    """Rows of one chunk (one conditioning entry) of a model call with `rows` rows in all."""
    chunks = len(extra_options["cond_or_uncond"])
    if rows % chunks:
        raise ValueError(
            f"Attention has {rows} rows for {chunks} prompts: another node changed the batch inside the model."
        )
    return rows // chunks


def in_window(extra_options: dict, start: float, end: float) -> bool:
    """Whether this call's sigma lies in (end, start]."""
    sigma = float(extra_options["sigmas"][0])
    return end < sigma <= start


def window(model: Model, start_percent: float, end_percent: float) -> tuple[float, float]:
    """(start, end) in sigmas of a percent range, for `in_window`. Raises ValueError for an empty range."""
    if start_percent >= end_percent:
        raise ValueError(f"Start {start_percent} is not before end {end_percent}; give a range such as 0.0 to 0.8.")
    sampling = model.get_model_object("model_sampling")
    return float(sampling.percent_to_sigma(start_percent)), float(sampling.percent_to_sigma(end_percent))
