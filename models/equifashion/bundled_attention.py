"""Semantic-bundled attention: an adjective's cross-attention map follows its noun's.

The published code has only a loss on map pairs (Jensen–Shannon divergence); at inference nothing binds. The mixing of
attention columns below is reconstructed: for a pair S of token indices

    P'[:, :, s] = (1 - b) P[:, :, s] + b · mean over s' in S of P[:, :, s']      (rows still sum to 1)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

EPSILON = 1e-8


def jensen_shannon(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Jensen–Shannon divergence in nats of maps [B, ...], one value a row: 0 (same) to ln 2 (apart).

    As the published bundle loss: both clamped to [1e-8, 1], natural logarithm, m = (p + q) / 2. The maps are not
    normalised here; divide each by its sum first.
    """
    p = first.flatten(1).clamp(EPSILON, 1.0)
    q = second.flatten(1).clamp(EPSILON, 1.0)
    m = (p + q) / 2
    return 0.5 * ((p * (p.log() - m.log())).sum(1) + (q * (q.log() - m.log())).sum(1))


def attention_probabilities(q: torch.Tensor, k: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(q kᵀ / √d): q [B, HW, heads·d], k [B, L, heads·d] -> [B, heads, HW, L] in float32."""
    rows, pixels, width = q.shape
    q = q.reshape(rows, pixels, heads, width // heads).transpose(1, 2).float()
    k = k.reshape(rows, k.shape[1], heads, width // heads).transpose(1, 2).float()
    return (q @ k.transpose(-1, -2) * (width // heads) ** -0.5).softmax(-1)


def bundle(probabilities: torch.Tensor, groups: Sequence[Sequence[int]], strength: float) -> torch.Tensor:
    """Probabilities [..., L] with the columns of each group moved to their common mean by `strength` (0..1).

    Groups are taken one after another, so that pairs which share a token all act. Reconstructed.
    """
    mixed = probabilities.clone()
    for group in groups:
        columns = mixed[..., list(group)]
        mixed[..., list(group)] = columns + strength * (columns.mean(-1, keepdim=True) - columns)
    return mixed


def bundle_change(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, groups: Sequence[Sequence[int]], strength: float
) -> torch.Tensor:
    """What bundling adds to the attention output: (P' - P) V, [B, HW, heads·d] in the dtype of v.

    Only the columns of the groups differ, so only their values are read. Added to the output of any attention that saw
    the same q, k, v, also of one that another pack replaced.
    """
    rows, pixels, width = q.shape
    touched = sorted({index for group in groups for index in group})
    before = attention_probabilities(q, k, heads)[..., touched]
    place = {index: i for i, index in enumerate(touched)}
    after = bundle(before, [[place[index] for index in group] for group in groups], strength)
    values = v[:, touched].reshape(rows, len(touched), heads, width // heads).transpose(1, 2).float()
    change = (after - before) @ values
    return change.transpose(1, 2).reshape(rows, pixels, width).to(v.dtype)


def token_maps(probabilities: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """The map of a word, [B, HW]: mean over heads and over its tokens' columns, divided by its spatial sum + 1e-6."""
    maps = probabilities[..., list(tokens)].mean(-1).mean(1)
    return maps / (maps.sum(-1, keepdim=True) + 1e-6)
