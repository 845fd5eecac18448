"""Garments on their way through the host: from a conditioning's dict to the rows of a batch, for one run only.

`extra_conds` makes a GarmentsOfARun for each conditioning and run; the host's batching repeats, concatenates and
reorders the COND objects around it, so rows find their garments through the objects, never by position. K,V that a
run has to compute itself (other LoRAs, hooks, an unconditional class that was not encoded) live there and are dropped
when the run ends, is cancelled or fails. So do the copies on the sampling device, made once a run where it has room:
bringing the K,V of five large garments there in every step (1.3 GiB) would take a fast GPU longer than computing them
again. Where there is no room they come layer by layer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import comfy.conds
import comfy.hooks
import comfy.model_management
import comfy.patcher_extension
import torch

from .encoded_garment import EncodedGarment, GarmentRefs, LayerKV, Rows, kv_bytes, most_tokens

if TYPE_CHECKING:
    from ..host_types import LatentFormat, Model
    from .fastfit_model import FastFitModel

LOG = logging.getLogger(__name__)

WRAPPER_KEY = "atelier.garments"


class GarmentsOfARun:
    """The garments of one conditioning and the K,V that this run reads, under one state of hooks at a time."""

    def __init__(self, refs: GarmentRefs):
        self.outfits = refs.outfits
        self.tokens = most_tokens(refs)
        self._hooks: tuple | None = None
        self._kv: dict[int, tuple[LayerKV, ...]] = {}  # by id: self.outfits keeps the garments, so an id stays its own

    def forget(self) -> None:
        self._kv.clear()

    def rows(self, model: FastFitModel, count: int, device: torch.device) -> list[Rows]:
        """The garments of `count` rows; neighbours in the same outfit are put together."""
        outfits = [self.outfits[row % len(self.outfits)] for row in range(count)]
        found = [(len(list(same)), outfit) for outfit, same in groupby(outfits, key=lambda outfit: outfit)]
        return [
            Rows(number, tuple(self._layers(model, garment, device) for garment in outfit)) for number, outfit in found
        ]

    def _layers(self, model, garment: EncodedGarment, device: torch.device) -> tuple[LayerKV, ...]:
        hooks = _hooks_on_weights(model.current_patcher)
        if hooks != self._hooks:
            self._kv.clear()
            self._hooks = hooks
        if id(garment) not in self._kv:
            ready = (
                hooks is None
                and garment.kv is not None
                and garment.state.is_that_of(model.current_patcher)
                and _fits(garment.kv, model)
            )
            self._kv[id(garment)] = _near(garment.kv, device) if ready else _computed(model, garment, device)
        return self._kv[id(garment)]


def _computed(model, garment: EncodedGarment, device: torch.device) -> tuple[LayerKV, ...]:
    kv = model.reference_kv(garment.latent, garment.category, device, home=device)
    if _has_room(device, kv_bytes(kv)):
        return kv
    home = comfy.model_management.intermediate_device()
    return tuple((k.to(home), v.to(home)) for k, v in kv)


def _near(kv: tuple[LayerKV, ...], device: torch.device) -> tuple[LayerKV, ...]:
    """On the device for the rest of the run where it has room, else as they are."""
    if kv[0][0].device == device:
        return kv
    if not _has_room(device, kv_bytes(kv)):
        LOG.info("Try-on: %s has no room for %.0f MiB of K,V, they are brought layer by layer", device, _mib(kv))
        return kv
    return tuple((k.to(device), v.to(device)) for k, v in kv)


def _mib(kv: tuple[LayerKV, ...]) -> float:
    return kv_bytes(kv) / 2**20


def _has_room(device: torch.device, size: int) -> bool:
    """The host has made room for the step itself, garments included; half of what is left is taken at most."""
    return size < comfy.model_management.get_free_memory(device) / 2


def _hooks_on_weights(patcher) -> tuple | None:
    """The hooks that have changed the weights for the current call, with their strengths of this moment; None
    without any.
    """
    current = getattr(patcher, "current_hooks", None)
    if current is None:
        return None
    found = [
        (hook.hook_ref, float(hook.strength))
        for hook in current.get_type(comfy.hooks.EnumHookType.Weight)
        if patcher.hook_patches.get(hook.hook_ref)
    ]
    return tuple(found) or None


def _fits(kv: tuple[LayerKV, ...], model) -> bool:
    return len(kv) == model.diffusion_model.layers and kv[0][0].dtype == model.compute_dtype()


class GarmentCond(comfy.conds.CONDRegular):
    """One chunk's garments and its number of rows."""

    def __init__(self, cond: GarmentsOfARun, rows: int = 1):
        self.cond, self.rows = cond, rows

    def process_cond(self, batch_size: int, **kwargs: Any) -> GarmentCond:
        return GarmentCond(self.cond, batch_size)

    def can_concat(self, other: object) -> bool:
        return isinstance(other, GarmentCond)

    def concat(self, others: list[GarmentCond]) -> GarmentBatch:
        return GarmentBatch([self, *others])

    def size(self) -> list[int]:
        return [self.rows, 1, self.cond.tokens]  # as many more latent pixels, for the host's estimate of memory


class GarmentBatch:
    """The garments of a whole call, chunk after chunk in the order in which the host put the chunks together."""

    def __init__(self, chunks: list[GarmentCond]):
        self.chunks = chunks

    def rows_for(self, model: FastFitModel, device: torch.device) -> tuple[Rows, ...]:
        return tuple(rows for chunk in self.chunks for rows in chunk.cond.rows(model, chunk.rows, device))


def check_latents(refs: GarmentRefs, latent_format: LatentFormat) -> None:
    """Raises ValueError where a garment's latent is not of the model's latent format."""
    for garment in (g for outfit in refs.outfits for g in outfit):
        given = garment.latent.shape[1], garment.scale
        expected = latent_format.latent_channels, latent_format.scale_factor
        if given != expected:
            raise ValueError(
                f"The garments were encoded for latents of {given[0]} channels at scale {given[1]}, this model "
                f"has {expected[0]} at {expected[1]}; "
                "encode them again with this model and its VAE."
            )


def garments_of_a_run(refs: GarmentRefs, latent_format: LatentFormat) -> GarmentCond:
    """The COND object of one conditioning for one run. Raises ValueError, before the first step, as `check_latents`."""
    check_latents(refs, latent_format)
    return GarmentCond(GarmentsOfARun(refs))


def forget_after_run(executor: Callable, *args: Any, **kwargs: Any) -> Any:
    """OUTER_SAMPLE wrapper: a finished, cancelled or failed run leaves no K,V behind, even where its guider lives
    on.
    """
    try:
        return executor(*args, **kwargs)
    finally:
        for conds in getattr(executor.class_obj, "conds", {}).values():
            for cond in conds:
                garments = cond.get("model_conds", {}).get("garments")
                if garments is not None:
                    garments.cond.forget()


def prepare(patcher: Model) -> None:
    """Put the end-of-run cleaning on a freshly loaded patcher; its clones inherit it."""
    patcher.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, WRAPPER_KEY, forget_after_run)
