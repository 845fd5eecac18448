"""Bind Attributes by guidance (experimental): a gradient on the latent pulls the maps of an adjective and its noun
together and the maps of different nouns apart.

Before each model call inside the range the noisy latent x is moved by -strength · 0.1 · sigma · g / rms(g), where g is
the gradient of (mean JSD of pairs) - (mean JSD between nouns) over the text attention of the blocks of at most 1024
pixels. The sampler keeps its own x; only the prediction is made at the moved one. Costs one more pass with gradients a
step.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.patcher_extension
import torch

from ...models.equifashion.bundled_attention import attention_probabilities, jensen_shannon, token_maps
from .. import run_patches

if TYPE_CHECKING:
    from ..host_types import Guider

KEY = "atelier_bind_guidance"
LARGEST_MAP = 1024
STEP = 0.1


def install(guider: Guider, options: dict, bindings: dict) -> None:
    """Add the guidance to the options of this run. Raises ValueError where no gradient can be had."""
    if any("control" in entry for entries in guider.conds.values() for entry in entries or ()):
        raise ValueError("Binding by guidance does not pass through a ControlNet; use the form mix or phrases with it.")

    def wrapper(executor, model, conds, x, timestep, model_options, *args, **kwargs):
        for entry in conds[0] or ():
            for binding in bindings.get(entry["uuid"], ()):
                sigma = float(timestep[0])
                said = sigma <= entry.get("timestep_start", sigma) and sigma >= entry.get("timestep_end", 0.0)
                if said and binding.form == "guidance" and binding.end < sigma <= binding.start:
                    comfy.model_management.throw_exception_if_processing_interrupted()
                    x = _moved(model, entry, binding, x, timestep)
        return executor(model, conds, x, timestep, model_options, *args, **kwargs)

    comfy.patcher_extension.add_wrapper_with_key(
        comfy.patcher_extension.WrappersMP.CALC_COND_BATCH, KEY, wrapper, options, is_model_options=True
    )


def loss(maps: list[dict]) -> torch.Tensor:
    """Mean over blocks of: mean JSD between modifiers and noun of a pair, minus mean JSD between nouns. maps: a block's
    [(modifier map, noun map) a pair], each [B, HW]. One value a row."""
    total = 0.0
    for block in maps:
        together = torch.stack([jensen_shannon(modifier, noun) for modifier, noun in block]).mean(0)
        apart = [jensen_shannon(a[1], b[1]) for a, b in combinations(block, 2)]
        total = total + together - (torch.stack(apart).mean(0) if apart else 0.0)
    return total / len(maps)


def _moved(model, entry, binding, x, timestep):
    with torch.inference_mode(False), torch.enable_grad():
        start = x.clone().detach().requires_grad_(True)
        maps = _maps(model, entry, binding, start, timestep.clone())
        if not maps:
            raise ValueError(
                f"Binding by guidance found no attention map of at most {LARGEST_MAP} pixels; "
                "use the form mix at this size."
            )
        (gradient,) = torch.autograd.grad(loss(maps).sum(), start)
    rms = gradient.pow(2).mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
    return x - binding.strength * STEP * timestep.view(-1, 1, 1, 1) * gradient / rms


def _maps(model, entry, binding, x, timestep) -> list[list[tuple]]:
    """Per block the (modifier map, noun map) of every pair, with gradients back to x."""
    maps = []

    def looking(previous):
        def attention(q, k, v, extra_options):
            if q.shape[1] <= LARGEST_MAP:
                columns = attention_probabilities(q, k, extra_options["n_heads"])
                maps.append([(token_maps(columns, p.modifiers), token_maps(columns, p.noun)) for p in binding.pairs])
            return previous(q, k, v, extra_options)

        return attention

    unet = model.diffusion_model
    options = {"transformer_options": {"cond_or_uncond": [0], "sigmas": timestep, "uuids": [entry["uuid"]]}}
    for place, block in run_patches.transformer_blocks(unet):
        if hasattr(block.attn2, "to_q"):
            run_patches.wrap_attention(options, "attn2", place, looking)
    dtype = model.manual_cast_dtype or model.get_dtype()
    conds = {
        name: _own(cond.process_cond(batch_size=x.shape[0], area=None).cond, x, dtype)
        for name, cond in entry["model_conds"].items()
    }
    latent = model.model_sampling.calculate_input(timestep, x)
    if "c_concat" in conds:
        latent = torch.cat([latent, conds.pop("c_concat")], 1)
    context = conds.pop("c_crossattn")
    # Weights loaded under inference mode cannot take part in a backward pass; their copies can.
    weights = {
        name: p.clone() if p.is_inference() else p for name, p in [*unet.named_parameters(), *unet.named_buffers()]
    }
    torch.func.functional_call(
        unet,
        weights,
        (latent.to(dtype), model.model_sampling.timestep(timestep).float()),
        {"context": context, "transformer_options": options["transformer_options"], **conds},
    )
    return maps


def _own(value, like, dtype):
    return value.clone().to(device=like.device, dtype=dtype) if torch.is_tensor(value) else value
