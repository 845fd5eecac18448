"""Latents that stopped half-way: how noisy they are and whose they are, kept inside the LATENT beside its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ..host_types import Model

KEY = "atelier_unfinished"


@dataclass(frozen=True)
class Unfinished:
    """sigma: the noise level of the samples (0 when finished), as the sampling model counts it. family: its latent
    format. samples: those that stopped there (a host node may put others into the same LATENT and keep this mark).
    drafts [B, C, h, w]: what the model would have drawn from here, clean, in the LATENT's scale; None when unknown."""

    sigma: float
    family: str
    samples: torch.Tensor
    drafts: torch.Tensor | None


def family_of(model: Model) -> str:
    """The name of the latent format that a MODEL works in, such as SD15 or SDXL."""
    return type(model.get_model_object("latent_format")).__name__


def marked(latent: dict, samples: torch.Tensor, sigma: float, model: Model, drafts: torch.Tensor) -> dict:
    """A LATENT with new samples that says where it stands; all other entries of the LATENT are kept."""
    return {**latent, "samples": samples, KEY: Unfinished(sigma, family_of(model), samples, drafts)}


def picked(latent: dict, indices: list[int]) -> dict:
    """The LATENT with only these pictures, in this order; everything in it that is counted by picture follows."""
    count = len(latent["samples"])
    out = {**latent, "samples": latent["samples"][indices]}
    if "noise_mask" in latent and len(latent["noise_mask"]) == count:
        out["noise_mask"] = latent["noise_mask"][indices]
    # The noise of a picture depends on its place in the batch; the host keeps that place here.
    places = latent.get("batch_index") or list(range(count))
    out["batch_index"] = [places[i] for i in indices]
    if KEY in latent:
        state = latent[KEY]
        if len(state.samples) == count:
            out[KEY] = Unfinished(state.sigma, state.family, state.samples[indices], state.drafts[indices])
    return out
