"""Garments as the try-on network reads them: K,V of every self-attention, computed once and used by any number of runs.

`encode` handles one garment, `encode_unconditional` the zero latent that stands for it in the unconditional rows (it
depends on class and size alone, so one serves every garment of that class and size), `merge` puts garments together
into one outfit, `batch` gives every row of a batch an outfit of its own. A value holds the state of the weights it
was computed with; a run that finds another state (a LoRA, a hook) computes its own and drops it at its end
(`garment_conditioning.py`).
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import comfy.model_management
import comfy.utils
import torch

from ...craft import garments
from ...craft.picture.garment_picture import fit_garment, on_white
from .fastfit_model import FastFitModel, LayerKV


class WeightsState:
    """Which weights a model patcher stands for: the network and the exact patches on it.

    Compared by the patches themselves, not by the host's `patches_uuid`: registering a hook changes that id for good,
    although the unhooked weights stay what they were.
    """

    def __init__(self, patcher):
        self._model = weakref.ref(patcher.model)
        self._patches = _patches(patcher)

    def is_that_of(self, patcher) -> bool:
        if patcher is None or self._model() is not patcher.model:
            return False
        now = _patches(patcher)
        return now.keys() == self._patches.keys() and all(_same(now[key], self._patches[key]) for key in now)


def _patches(patcher) -> dict[str, tuple]:
    """Everything on a patcher that changes what its layers compute; entries are compared by identity."""
    state = {key: tuple(entries) for key, entries in patcher.patches.items()}
    for key, entries in getattr(patcher, "weight_wrapper_patches", {}).items():
        state[f"wrapped {key}"] = tuple(entries)
    for key, entry in getattr(patcher, "object_patches", {}).items():
        if key.startswith("diffusion_model."):
            state[f"replaced {key}"] = (entry,)
    return state


def _same(a: tuple, b: tuple) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b))


def kv_bytes(kv: tuple[LayerKV, ...]) -> int:
    return sum(t.numel() * t.element_size() for pair in kv for t in pair)


@dataclass(frozen=True, eq=False)
class EncodedGarment:
    """One garment. latent: [1, channels, h, w], unscaled as the VAE gives it. kv: per layer K,V [1, tokens, channels].

    `kv` is None where it is left to the run. `scale` is the latent format's factor: garments of another format are
    refused.
    """

    latent: torch.Tensor
    category: int
    scale: float
    kv: tuple[LayerKV, ...] | None = None
    state: WeightsState | None = None

    @property
    def kind(self) -> tuple[int, int, int]:
        """Class and latent size: all that the unconditional K,V depend on."""
        return self.category, self.latent.shape[-2], self.latent.shape[-1]

    @cached_property
    def order(self) -> tuple:
        """A content key. Outfits are kept in this order, so that the order of wiring changes nothing, not even
        rounding.
        """
        pixels = self.latent.detach().float().contiguous().cpu().numpy().tobytes()
        return (*self.kind, hashlib.sha256(pixels).hexdigest())

    @property
    def bytes(self) -> int:
        return kv_bytes(self.kv or ())


@dataclass(frozen=True, eq=False)
class GarmentKV:
    """What Encode Garments puts out. `outfits`: one for all rows, or one for each row of a batch."""

    outfits: tuple[tuple[EncodedGarment, ...], ...] = ((),)
    unconditional: tuple[EncodedGarment, ...] = field(default=())

    @property
    def size_mib(self) -> float:
        """Memory of all distinct K,V, in MiB."""
        distinct = {id(g): g for outfit in (*self.outfits, self.unconditional) for g in outfit}
        return sum(g.bytes for g in distinct.values()) / 2**20


@dataclass(frozen=True, eq=False)
class GarmentRefs:
    """The value in a conditioning's dict: outfits per row (one row stands for all)."""

    outfits: tuple[tuple[EncodedGarment, ...], ...]


def category_id(category: int | str) -> int:
    if isinstance(category, str):
        found = garments.by_name(category)
        if found.number is None:
            raise ValueError(f"The published try-on networks know no {found.label}; leave it out of the outfit.")
        return found.number
    return int(category)


def encode(
    model,
    vae,
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


def encode_unconditional(model, category: int | str, width: int = 384, height: int = 512, down: int = 8) -> GarmentKV:
    """The unconditional K,V of a class at a size (pixels): FastFit's zero latent, run through the reference pass."""
    category = _usable(model, category)
    latent = torch.zeros(1, model.model.latent_format.latent_channels, height // down, width // down)
    garment = encode_latent(model, latent, category).outfits[0][0]
    return GarmentKV(unconditional=(garment,))


def encode_latent(model, latent: torch.Tensor, category: int | str) -> GarmentKV:
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
    kv = reference_kv(inner, latent, category, model.load_device, on_block=lambda: bar.update(1))
    garment = EncodedGarment(latent, category, inner.latent_format.scale_factor, kv, WeightsState(model))
    return GarmentKV(outfits=((garment,),))


@torch.no_grad()
def reference_kv(
    inner: FastFitModel, latent: torch.Tensor, category: int, device, *, home=None, on_block=None
) -> tuple[LayerKV, ...]:
    """The reference pass with whatever weights are loaded now; K,V come back at one row in the compute dtype.

    home: where they are put, the host's intermediate device unless given.
    """
    scaled = inner.process_latent_in(latent.to(device)).to(inner.compute_dtype())
    classes = torch.full((1,), category, dtype=torch.long, device=device)
    kv, _ = inner.diffusion_model.reference_pass(scaled, classes, on_block=on_block)
    home = home or comfy.model_management.intermediate_device()
    return tuple((k.to(home), v.to(home)) for k, v in kv)


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
    from .garment_conditioning import CONDITIONING_KEY

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
