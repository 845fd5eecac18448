"""Guidance that is stronger on some channels of the latent than on others."""

from __future__ import annotations

from torch import Tensor


def shared(cond: Tensor, uncond: Tensor, cfg: float, shares: Tensor) -> Tensor:
    """cond [B,C,...] changed so that `uncond + cfg * (cond - uncond)` guides channel c by 1 + (cfg - 1) * shares[c].

    What is known without guidance, a garment's colour, is overdone by it; what a network leaves too faint, fine
    patterns, needs it. In pictures these are low and high frequencies (Sadat et al. 2025, "Guidance in the Frequency
    Domain", whose low one is guided less); latents that are a basis of patches have them in channels of their own.
    Shares by channel are our own. cfg 0 has no cond in its result and changes nothing; cfg 1 never does.
    """
    if cfg == 0:
        return cond
    scale = (1 + (cfg - 1) * shares.to(cond)) / cfg
    return uncond + scale.reshape(1, -1, *[1] * (cond.ndim - 2)) * (cond - uncond)
