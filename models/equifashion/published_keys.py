"""The tensors that a published EquiFashion checkpoint has beside HieraFashDiff's (LPIPS left out: it comes with its
package)."""

from __future__ import annotations

import torch

from .generator import GENERATOR_PREFIX, LatentDiscriminator, LatentGenerator
from .text_image import GarmentSegmentor, SemanticEncoder

DISCRIMINATOR_PREFIX = "latent_discriminator."
# The encoder and the segmentor are listed again under the losses that use them.
ENCODER_PREFIXES = (
    "semantic_encoder.",
    "structural_consensus.clip_model.",
    "fashion_compat_loss.encoder.",
    "clip_semantic_loss.clip_model.",
)
SEGMENTOR_PREFIXES = ("garment_segmentor.", "structural_consensus.garment_segmentor.")


def extra_tensors() -> dict[str, torch.Tensor]:
    """name -> tensor without storage (meta device), of the published sizes."""
    with torch.device("meta"):
        networks = [
            ((GENERATOR_PREFIX,), LatentGenerator()),
            ((DISCRIMINATOR_PREFIX,), LatentDiscriminator()),
            (ENCODER_PREFIXES, SemanticEncoder()),
            (SEGMENTOR_PREFIXES, GarmentSegmentor()),
        ]
    return {
        prefix + name: value
        for prefixes, network in networks
        for prefix in prefixes
        for name, value in network.state_dict().items()
    }
