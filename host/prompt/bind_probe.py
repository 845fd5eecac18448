"""Look at the attention of bound words: one model call at a chosen noise level, before and after binding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import comfy.sample
import comfy.samplers
import torch
import torch.nn.functional as F

from ...craft.picture.attention_picture import PairMaps
from ...models.equifashion.bundled_attention import attention_probabilities, bundle, jensen_shannon, token_maps
from .. import run_patches
from .bind_attention import KEY, active, bindings_of_run, repetitions

if TYPE_CHECKING:
    from ..host_types import Model

PROBE = "atelier_bind_probe"


def probe(model: Model, positive: list, latent: dict, percent: float, seed: int) -> list[PairMaps]:
    """The maps of every bound pair of the entries that are said at `percent`, averaged over all text attention of
    one call on the latent, noised to that level. The "before" is the same call with the binding left out; "after" for
    the form mix is the mixed attention, for the others the attention of the call in which they act.

    Raises ValueError when no bound entry is active there.
    """
    if not any(KEY in values for _, values in positive):
        raise ValueError("This conditioning is not bound; connect the conditioning and the model of Bind Attributes.")
    sampling = model.get_model_object("model_sampling")
    sigma = min(float(sampling.percent_to_sigma(percent)), float(sampling.sigma_max))
    sigma = max(sigma, float(sampling.sigma_min))
    maps: dict[str, dict[str, list]] = {}
    for state, with_binding in (("before", False), ("after", True)):
        _one_call(model, positive, latent, sigma, seed, with_binding, maps, state)
    if not maps:
        raise ValueError(
            f"No bound prompt is said at {percent:g} of the schedule (sigma {sigma:.3f}); choose another place."
        )
    return [_summary(label, found) for label, found in maps.items()]


def _one_call(model, positive, latent, sigma, seed, with_binding, maps, state):
    model = model.clone()
    if not with_binding:
        model.remove_wrappers_with_key(run_patches.RUN, KEY)

    def prepare(guider, sigmas, options):
        bindings = bindings_of_run(guider)
        for place, block in run_patches.transformer_blocks(guider.inner_model.diffusion_model):
            if hasattr(block.attn2, "to_q"):
                run_patches.wrap_attention(options, "attn2", place, lambda previous: looking(previous, bindings))

    def looking(previous, bindings):
        def attention(q, k, v, extra_options):
            for form in ("mix", "phrases", "guidance"):
                for rows, binding in active(bindings, extra_options, q.shape[0], form):
                    copies = repetitions(binding.length, k.shape[1])
                    columns = attention_probabilities(q[rows], k[rows], extra_options["n_heads"])
                    if with_binding and form == "mix":
                        groups = [_all_copies(pair.rows, binding.length, copies) for pair in binding.pairs]
                        columns = bundle(columns, groups, binding.strength)
                    _keep(maps, columns, binding, copies, state, _shape(extra_options, q.shape[1]))
            return previous(q, k, v, extra_options)

        return attention

    run_patches.add_run_wrapper(model, PROBE, prepare)
    samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
    noise = comfy.sample.prepare_noise(samples[:1], seed)
    sampler = comfy.samplers.KSAMPLER(_only_denoise)
    comfy.sample.sample_custom(
        model,
        noise,
        1.0,
        sampler,
        torch.tensor([sigma, 0.0]),
        positive,
        positive,
        samples[:1],
        disable_pbar=True,
        seed=seed,
    )


@torch.no_grad()
def _only_denoise(model, x, sigmas, extra_args=None, callback=None, disable=None):
    return model(x, sigmas[0] * x.new_ones([x.shape[0]]), **extra_args)


def _all_copies(rows, length, copies):
    return [i + copy * length for copy in range(copies) for i in rows]


def _shape(extra_options, pixels: int) -> tuple[int, int]:
    shape = extra_options["activations_shape"][-2:]
    return tuple(shape) if shape[0] * shape[1] == pixels else (1, pixels)


def _keep(maps, columns, binding, copies, state, shape):
    for pair in binding.pairs:
        sides = [token_maps(columns, _all_copies(rows, binding.length, copies)) for rows in (pair.modifiers, pair.noun)]
        kept = maps.setdefault(pair.label, {}).setdefault(state, [])
        kept.append(
            (sides[0][0].reshape(shape).cpu(), sides[1][0].reshape(shape).cpu(), float(jensen_shannon(*sides)[0]))
        )


def _summary(label, found) -> PairMaps:
    """Maps averaged over the blocks at the size of the finest; the divergence is the mean over blocks."""
    pictures, divergences = [], []
    for state in ("before", "after"):
        size = max((one[0].shape for one in found[state]), key=lambda shape: shape[0] * shape[1])
        for side in (0, 1):
            resized = [F.interpolate(one[side][None, None], size=size, mode="bilinear")[0, 0] for one in found[state]]
            mean = torch.stack([one / one.sum() for one in resized]).mean(0)
            pictures.append(mean.numpy())
        divergences.append(sum(one[2] for one in found[state]) / len(found[state]))
    return PairMaps(label, tuple(pictures), *divergences)
