"""The designer in plain torch: for a look at a run while it trains. The host's samplers are what users and the bench use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .design_prompts import Piece, Words
from .designer import Designer
from .inputs import LAST
from .noise import alpha_sigma


@torch.no_grad()
def sample(
    network: Designer,
    words: Callable[[int], Tensor],
    pose: Tensor | None,
    noise: Tensor,
    *,
    steps: int = 20,
    cfg: float = 3.0,
    empty: Tensor | None = None,
) -> Tensor:
    """Deterministic DDIM of v-prediction from pure noise [B,C,h,w]; returns the clean latent.

    words: timestep -> rows of the trained table [B,77], so that a prompt may change on the way. pose: [B,3,H,W] in 0..1.
    empty: rows of the empty prompt [1,77], wanted when cfg is not 1.
    """
    alpha, sigma = (table.float() for table in alpha_sigma())
    levels = torch.linspace(LAST, 0, steps + 1).round().long()[:-1].tolist() + [None]
    seen, x = torch.ones(len(noise)), noise
    for t, following in zip(levels, levels[1:]):
        at = torch.full((len(noise),), t)
        v = network(x, at, words(t), pose, seen)
        if cfg != 1:
            unsaid = network(x, at, empty.expand(len(noise), -1), pose, seen)
            v = unsaid + cfg * (v - unsaid)
        clean, eps = alpha[t] * x - sigma[t] * v, sigma[t] * x + alpha[t] * v
        x = clean if following is None else alpha[following] * clean + sigma[following] * eps
    return x


def told(words: Words, prompts: Sequence[list[Piece]]) -> Tensor:
    """Rows of the trained table for prompts, [B,77]."""
    return torch.from_numpy(np.stack([words.encode(pieces)[0] for pieces in prompts]))
