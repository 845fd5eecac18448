"""Garments as the try-on network reads them: K,V of every self-attention, computed once and used by any number of runs.

`encode` handles one garment, `encode_unconditional` the zero latent that stands for it in the unconditional rows (it
depends on class and size alone, so one serves every garment of that class and size), `merge` puts garments together
into one outfit, `batch` gives every row of a batch an outfit of its own. A value holds the state of the weights it
was computed with; a run that finds another state (a LoRA, a hook) computes its own and drops it at its end
(`garment_conditioning.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import torch

from ...craft import garments
from ...craft.picture.garment_picture import fit_garment, on_white
from .encoded_garment import CONDITIONING_KEY, EncodedGarment, GarmentKV, GarmentRefs, WeightsState
from .fastfit_model import FastFitModel

if TYPE_CHECKING:
    from ..host_types import Model, Vae


def category_id(category: int | str) -> int:
    if isinstance(category, str):
        found = garments.by_name(category)
        if found.number is None:
            raise ValueError(f"The published try-on networks know no {found.label}; leave it out of the outfit.")
        return found.number
    return int(category)


def encode(
    model: Model,
    vae: Vae,
    image: torch.Tensor,
    category: int | str,
    mask: torch.Tensor | None = None,
    fit: str = "pad",
    width: int = 384,
    height: int = 512,
) -> GarmentKV:
    """One garment picture to latents and K,V, for the weights (with LoRAs) of `model`.

    image: [1, H, W, 3 or 4], 0..1. mask: [1, H, W], 1 = garment, the rest becomes white. fit: pad, crop or stretch to
    width x height (multiples of the VAE's factor, 8). Progress and Cancel per block. Raises ValueError for pictures
    or models that cannot be used.
    """
    category = _usable(model, category)
    if getattr(vae, "latent_channels", None) != model.model.latent_format.latent_channels:
        raise ValueError(
            f"The VAE has {getattr(vae, 'latent_channels', 'no')} latent channels, the try-on model "
            f"{model.model.latent_format.latent_channels}; "
            "connect the VAE that Load Try-On Model gives."
        )
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[-1] < 3 or 0 in image.shape:
        raise ValueError(
            f"The garment's picture has shape {list(image.shape)}; one picture [1, height, width, 3] is expected."
        )
    if not torch.isfinite(image).all():
        raise ValueError("The garment's picture holds NaN or infinite values; look at the node that made it.")
    cell = vae.spacial_compression_encode()
    if width % cell or height % cell or min(width, height) < cell:
        raise ValueError(f"The garment's size is {width}x{height}; both sides must be multiples of {cell}.")
    picture = image[..., :3].float()
    if mask is not None:
        if not mask.any():
            raise ValueError("The garment's mask is empty; mark the garment, or leave the mask out.")
        rows = torch.nn.functional.interpolate(
            mask.reshape(1, 1, *mask.shape[-2:]).float(), picture.shape[1:3], mode="bilinear"
        )
        picture = on_white(picture, rows[:, 0].to(picture))
    return encode_latent(model, vae.encode(fit_garment(picture, (width, height), fit)), category)


def encode_unconditional(
    model: Model, category: int | str, width: int = 384, height: int = 512, down: int = 8
) -> GarmentKV:
    """The unconditional K,V of a class at a size (pixels): FastFit's zero latent, run through the reference pass."""
    category = _usable(model, category)
    latent = torch.zeros(1, model.model.latent_format.latent_channels, height // down, width // down)
    garment = encode_latent(model, latent, category).outfits[0][0]
    return GarmentKV(unconditional=(garment,))


def encode_latent(model: Model, latent: torch.Tensor, category: int | str) -> GarmentKV:
    """K,V of one garment's latent [1, channels, h, w] (unscaled)."""
    category = _usable(model, category)
    mm = comfy.model_management
    latent = latent.detach().float().to(mm.intermediate_device())
    if not torch.isfinite(latent).all():
        raise ValueError(
            "The garment's latent holds NaN or infinite values; look at its picture and at the VAE's precision."
        )
    inner: FastFitModel = model.model
    mm.load_models_gpu([model], memory_required=inner.memory_required([1, *latent.shape[1:]]))
    bar = comfy.utils.ProgressBar(inner.diffusion_model.reference_blocks())
    kv = inner.reference_kv(latent, category, model.load_device, on_block=lambda: bar.update(1))
    garment = EncodedGarment(latent, category, inner.latent_format.scale_factor, kv, WeightsState(model))
    return GarmentKV(outfits=((garment,),))


def merge(parts: Sequence[GarmentKV]) -> GarmentKV:
    """One outfit of all garments, in any order with the same result; row by row where the parts hold several rows."""
    rows = max((len(part.outfits) for part in parts), default=1)
    if any(len(part.outfits) not in (1, rows) for part in parts):
        raise ValueError(
            f"Outfits for {sorted({len(p.outfits) for p in parts})} rows cannot be merged; each must be for 1 row "
            f"or for {rows}."
        )
    outfits = tuple(
        tuple(sorted((g for part in parts for g in part.outfits[row % len(part.outfits)]), key=lambda g: g.order))
        for row in range(rows)
    )
    return GarmentKV(outfits, _one_of_a_kind(parts))


def batch(rows: Sequence[GarmentKV]) -> GarmentKV:
    """An outfit for each row of a batch, in the order of the rows."""
    if not rows:
        raise ValueError("No outfit was given for the rows of the batch.")
    return GarmentKV(tuple(outfit for kv in rows for outfit in kv.outfits), _one_of_a_kind(rows))


def _one_of_a_kind(parts: Sequence[GarmentKV]) -> tuple[EncodedGarment, ...]:
    kinds = {g.kind: g for part in parts for g in part.unconditional}
    return tuple(kinds[kind] for kind in sorted(kinds))


def conditioning_refs(kv: GarmentKV) -> tuple[dict, dict]:
    """What Dress puts into the positive and the negative conditioning's dict (`node_helpers.conditioning_set_values`).

    The negative holds, for every garment, the zero latent of its class and size: FastFit's unconditional rows attend
    to it, never to nothing. What `encode_unconditional` has not been asked for is computed in the run.
    """
    if not any(kv.outfits):
        return {}, {}
    known = {g.kind: g for g in kv.unconditional}

    def unconditional(garment: EncodedGarment) -> EncodedGarment:
        if garment.kind not in known:
            known[garment.kind] = EncodedGarment(torch.zeros_like(garment.latent), garment.category, garment.scale)
        return known[garment.kind]

    negative = tuple(tuple(unconditional(g) for g in outfit) for outfit in kv.outfits)
    return {CONDITIONING_KEY: GarmentRefs(kv.outfits)}, {CONDITIONING_KEY: GarmentRefs(negative)}


def _usable(model, category: int | str) -> int:
    inner = getattr(model, "model", None)
    if not isinstance(inner, FastFitModel):
        raise ValueError(
            f"The MODEL is {type(inner).__name__}, not a try-on model; connect the one that Load Try-On Model gives."
        )
    category, classes = category_id(category), inner.diffusion_model.class_embedding.num_embeddings
    if not 0 <= category < classes:
        raise ValueError(f"The garment's class is {category}; this try-on model knows 0 to {classes - 1}.")
    return category
