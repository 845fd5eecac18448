"""Fusion of an ideation source and the diffusion model, and diversity of a batch.

    alpha_t = (t / T)^gamma,   z_{t-1} = alpha_t z_gan + (1 - alpha_t) z_diff        (latents in the model's own scale)

The published `sample_hybrid` does not run. `fused` with the DDIM step is reconstructed; `posterior_mean` is z_diff as
its code writes it. Coefficients are in terms of abar, the cumulative alpha of the discrete schedule.
"""

from __future__ import annotations

import torch

LEVELS = 1000
GAMMA = 0.7  # the model card; the code's default is 1.0
STEPS = 8


def fusion_weight(t: float | torch.Tensor, gamma: float = GAMMA, levels: int = LEVELS) -> float | torch.Tensor:
    """alpha_t for integer noise levels 0..levels; 1 is all ideation."""
    return (t / levels) ** gamma


def fused(z_ideation: torch.Tensor, z_diffusion: torch.Tensor, alpha: float) -> torch.Tensor:
    return alpha * z_ideation + (1 - alpha) * z_diffusion


def levels_of_steps(steps: int = STEPS, levels: int = LEVELS) -> list[int]:
    """The published sampler's list, downwards: c = levels // steps, t = 1 + c·k. 8 -> 876, 751, ..., 126, 1.

    Raises ValueError where its first t would fall outside the schedule, and for steps outside 1..levels.
    """
    if not 1 <= steps <= levels:
        raise ValueError(f"Steps must be 1 to {levels}, not {steps}.")
    times = [t + 1 for t in range(0, levels, levels // steps)][::-1]
    if times[0] >= levels:
        raise ValueError(
            f"{steps} steps would begin at level {times[0]}, outside the schedule; take {steps - 1} or {steps + 1}."
        )
    return times


def ddim_step(z: torch.Tensor, eps: torch.Tensor, abar: float, abar_next: float) -> torch.Tensor:
    """Deterministic DDIM step (Song et al. 2021, eq. 12, eta 0)."""
    x0 = (z - (1 - abar) ** 0.5 * eps) / abar**0.5
    return abar_next**0.5 * x0 + (1 - abar_next) ** 0.5 * eps


def posterior_mean(z: torch.Tensor, x0: torch.Tensor, abar: float, abar_before: float) -> torch.Tensor:
    """Mean of q(z_{t-1} | z_t, x0), with abar and abar_before at t and t - 1 (Ho et al. 2020, eq. 7)."""
    beta = 1 - abar / abar_before
    on_x0 = beta * abar_before**0.5 / (1 - abar)
    on_z = (1 - abar_before) * (1 - beta) ** 0.5 / (1 - abar)
    return on_x0 * x0 + on_z * z


def repelled(x0: torch.Tensor, strength: float) -> torch.Tensor:
    """Predicted pictures [B, ...] pushed away from each other; strength 0 gives back the input itself.

    A Gaussian kernel of the mean squared distance with the median as bandwidth (as in Stein variational gradient
    descent, Liu and Wang 2016): x_i + strength · sum_j w_ij (x_i - x_j) / sum_j w_ij, j != i. Each picture then gets
    its own mean and standard deviation per channel back, so that repulsion changes what is drawn, not exposure and
    contrast.
    """
    if strength == 0 or len(x0) < 2:
        return x0
    flat = x0.flatten(1).float()
    apart = flat[:, None] - flat[None]  # B B N
    distance = apart.pow(2).mean(-1)
    others = ~torch.eye(len(flat), dtype=torch.bool, device=flat.device)
    width = distance[others].median().clamp_min(1e-12)
    weight = torch.where(others, torch.exp(-distance / width), torch.zeros_like(distance))
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
    moved = (flat + strength * (weight[..., None] * apart).sum(1)).reshape(x0.shape)
    space = tuple(range(2, x0.ndim))
    mean, spread = x0.float().mean(space, keepdim=True), x0.float().std(space, keepdim=True)
    new_mean, new_spread = moved.mean(space, keepdim=True), moved.std(space, keepdim=True).clamp_min(1e-12)
    return ((moved - new_mean) / new_spread * spread + mean).to(x0.dtype)
