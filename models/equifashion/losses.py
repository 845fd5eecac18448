"""Every term of EquiFashion's objective, each a pure function, and their published sum.

    L_total = l_AE L_AE + l_cons L_cons + l_bundle L_bundle + l_comp L_comp + l_G (L_G + l_MS L_MS) + l_den L_denoise
              + l_rob L_rob + l_perc L_perc                                                              (model card)

Numbers in brackets are the paper's equations as the public code's comments give them; "code" is what the public code
computes. Not in that code and reconstructed here: `autoencoder`. Published quirks that the callers of these functions
decide about: the picture terms are fed pictures that were mapped to [0, 1] twice, the bundle term colour channels
instead of attention maps. Vectors are unit vectors unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .bundled_attention import jensen_shannon


def discriminator(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Hinge loss of D (14): scores of real latents above 1, of generated ones below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator(fake: torch.Tensor) -> torch.Tensor:
    """Adversarial loss of G (15)."""
    return -fake.mean()


def mode_seeking(made1: torch.Tensor, made2: torch.Tensor, u1: torch.Tensor, u2: torch.Tensor) -> torch.Tensor:
    """Different noise must give different latents (16): minus the mean ratio of their L1 distances. All [B, ...]."""
    distance = (made1 - made2).abs().flatten(1).sum(1)
    return -(distance / ((u1 - u2).abs().flatten(1).sum(1) + 1e-6)).mean()


def denoising(predicted: torch.Tensor, noise: torch.Tensor, log_variance: float = 0.0) -> torch.Tensor:
    """Noise prediction, as latent diffusion weighs it (code): mean over the batch of MSE / exp(logvar) + logvar."""
    each = (predicted - noise).pow(2).flatten(1).mean(1)
    return (each / torch.exp(torch.as_tensor(log_variance)) + log_variance).mean()


def robustness(predicted: torch.Tensor, predicted_nearby: torch.Tensor) -> torch.Tensor:
    """The prediction must not jump when the latent moves by 0.01 of unit noise (18)."""
    return F.mse_loss(predicted, predicted_nearby)


def perceptual(made: torch.Tensor, real: torch.Tensor, distance: Callable) -> torch.Tensor:
    """A perceptual distance (published: LPIPS with VGG) of two decoded pictures [B, 3, H, W] in [-1, 1], compared in
    [0, 1]."""
    return distance((made + 1) / 2, (real + 1) / 2).mean()


def semantic(image_vectors: torch.Tensor, text_vectors: torch.Tensor) -> torch.Tensor:
    """Picture and text should agree (19): 1 - mean cosine. [B, D] each."""
    return 1 - (image_vectors * text_vectors).sum(-1).mean()


def compatibility(image_vectors: torch.Tensor, text_vectors: torch.Tensor) -> torch.Tensor:
    """As `semantic` without the one (code)."""
    return -(image_vectors * text_vectors).sum(-1).mean()


def consensus(
    part_vectors: torch.Tensor,
    image_vectors: torch.Tensor,
    text_vectors: torch.Tensor,
    local: float = 0.5,
    whole: float = 0.5,
) -> torch.Tensor:
    """Structural semantic consensus (code): the best part [B, P, D] and the whole [B, D] against the text [B, D]."""
    best = (part_vectors * text_vectors[:, None]).sum(-1).max(1).values
    return -local * best.mean() - whole * (image_vectors * text_vectors).sum(-1).mean()


def bundle(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Adjective and noun look at the same place (code): sum over pairs of the batch mean of their maps' divergence."""
    return torch.stack([jensen_shannon(adjective, noun).mean() for adjective, noun in pairs]).sum()


def autoencoder(
    restored: torch.Tensor,
    original: torch.Tensor,
    mean: torch.Tensor,
    log_variance: torch.Tensor,
    kl_weight: float = 1e-6,
) -> torch.Tensor:
    """L1 restoration and a weak pull to the unit normal. Absent from the code, whose autoencoder is frozen;
    reconstructed."""
    kl = 0.5 * (mean.pow(2) + log_variance.exp() - 1 - log_variance).flatten(1).sum(1).mean()
    return (restored - original).abs().mean() + kl_weight * kl


@dataclass(frozen=True)
class Weights:
    """The published weights. gan multiplies the adversarial and the mode-seeking term; autoencoder is 0: nothing trains
    it."""

    gan: float = 1.0
    mode_seeking: float = 1.0
    robustness: float = 0.1
    perceptual: float = 0.1
    semantic: float = 0.1
    bundle: float = 0.5
    compatibility: float = 0.5
    consensus: float = 1.0
    denoising: float = 1.0
    autoencoder: float = 0.0


@dataclass(frozen=True)
class Terms:
    """The unweighted terms of one step for the generator and the denoiser; those that are not trained stay 0."""

    generator: torch.Tensor | float = 0.0
    mode_seeking: torch.Tensor | float = 0.0
    denoising: torch.Tensor | float = 0.0
    robustness: torch.Tensor | float = 0.0
    perceptual: torch.Tensor | float = 0.0
    semantic: torch.Tensor | float = 0.0
    consensus: torch.Tensor | float = 0.0
    bundle: torch.Tensor | float = 0.0
    compatibility: torch.Tensor | float = 0.0
    autoencoder: torch.Tensor | float = 0.0


def total(terms: Terms, weights: Weights = Weights()) -> torch.Tensor | float:
    """The published sum for generator and denoiser. (The code multiplies the denoising weight twice; at 1 that is the
    same.)"""
    adversarial = weights.gan * (terms.generator + weights.mode_seeking * terms.mode_seeking)
    named = ("denoising", "robustness", "perceptual", "semantic", "consensus", "bundle", "compatibility", "autoencoder")
    return adversarial + sum(getattr(weights, name) * getattr(terms, name) for name in named)
