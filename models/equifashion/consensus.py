"""Structural semantic consensus as a score: do the parts of a design, and the design as a whole, say what was asked
for?

The published code has it as a loss (`losses.consensus`) with a 1x1-convolution segmentor and a byte-mean text encoder
that are trained along. As a measure with a real encoder it is reconstructed: the published local term takes the best
part for the whole text (max over parts); here every attribute is given a part of its own by a maximum matching, so that
one good part cannot answer for all. The global term is the published one. Both count half, as in the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

LOCAL, GLOBAL = 0.5, 0.5


@dataclass(frozen=True)
class Consensus:
    """One picture: total = (matched + whole) / 2, cosines. pairs: (part, attribute) indices of the matching, by
    attribute."""

    total: float
    matched: float
    whole: float
    pairs: tuple[tuple[int, int], ...]


def best_matching(similarity: np.ndarray) -> list[tuple[int, int]]:
    """(part, attribute) pairs with the largest sum of similarity [parts, attributes], each used once (Hungarian
    method)."""
    parts, attributes = linear_sum_assignment(similarity, maximize=True)
    return sorted(zip(parts.tolist(), attributes.tolist()), key=lambda pair: pair[1])


def consensus(parts: torch.Tensor, whole: torch.Tensor, attributes: torch.Tensor) -> Consensus:
    """parts [P, D], whole [D], attributes [A, D]: unit vectors of one encoder. More attributes than parts: only as many
    as there are parts are matched, the best ones. Raises ValueError without parts or attributes."""
    if not len(parts) or not len(attributes):
        raise ValueError(
            f"Consensus needs parts and attributes; there are {len(parts)} parts and {len(attributes)} attributes."
        )
    similarity = (parts @ attributes.T).numpy()
    pairs = best_matching(similarity)
    matched = float(np.mean([similarity[pair] for pair in pairs]))
    overall = float((attributes @ whole).mean())
    return Consensus(LOCAL * matched + GLOBAL * overall, matched, overall, tuple(pairs))
