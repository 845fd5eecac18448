"""Garments as the try-on network reads them, as plain values: K,V, the weights they were computed with, and outfits."""

from __future__ import annotations

import hashlib
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from ..host_types import Model

CONDITIONING_KEY = "atelier_garments"
LayerKV = tuple[torch.Tensor, torch.Tensor]  # K and V of one self-attention, [1, tokens, channels]


class Rows(NamedTuple):
    """`count` neighbouring rows of a batch and the garments they wear: for each garment its K,V of every layer."""

    count: int
    garments: tuple[tuple[LayerKV, ...], ...]


class WeightsState:
    """Which weights a model patcher stands for: the network and the exact patches on it.

    Compared by the patches themselves, not by the host's `patches_uuid`: registering a hook changes that id for good,
    although the unhooked weights stay what they were.
    """

    def __init__(self, patcher):
        self._model = weakref.ref(patcher.model)
        self._patches = _patches(patcher)

    def is_that_of(self, patcher: Model) -> bool:
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


def most_tokens(refs: GarmentRefs) -> int:
    """Latent pixels of the largest outfit, the host's measure of what it costs."""
    return max(sum(g.latent.shape[-2] * g.latent.shape[-1] for g in outfit) for outfit in refs.outfits)
