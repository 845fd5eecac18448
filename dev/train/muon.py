"""Muon (Jordan et al. 2024) for the hidden matrices, AdamW for everything else, as one optimizer."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, nearly: Newton-Schulz iteration with Muon's quintic coefficients, in bf16.

    matrix: [rows, columns]. Singular values of the result lie in about 0.7..1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class MuonAdamW(torch.optim.Optimizer):
    """`hidden`: weights with two or more dimensions, updated by Muon; `others`: embeddings, ends, norms, biases, by
    AdamW.

    `scale` of a group multiplies its learning rate (for the schedule). weight_decay: of Muon's weights, in units of the
    learning rate. Without it they only grow: in the designer the last blocks drowned the noisy latent they carry (a
    deviation of 12000 beside 4). Groups of older checkpoints have none.
    """

    def __init__(
        self, hidden, others, lr: float = 0.02, adam_lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        groups = [
            {"params": list(hidden), "muon": True, "lr": lr, "scale": 1.0, "weight_decay": weight_decay},
            {"params": list(others), "muon": False, "lr": adam_lr, "scale": 1.0},
        ]
        super().__init__(groups, {"momentum": momentum, "betas": (0.9, 0.99), "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._muon if group["muon"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update(parameter, group, self.state[parameter])
        return loss

    def _muon(self, parameter: Tensor, group: dict, state: dict) -> None:
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
        step = parameter.grad.add(state["momentum"], alpha=group["momentum"])  # Nesterov
        flat = orthogonalise(step.flatten(1)).view_as(parameter)
        rows, columns = parameter.shape[0], parameter[0].numel()
        parameter.mul_(1 - group["lr"] * group["scale"] * group.get("weight_decay", 0.0))
        parameter.add_(flat, alpha=-group["lr"] * group["scale"] * max(1.0, rows / columns) ** 0.5)

    def _adam(self, parameter: Tensor, group: dict, state: dict) -> None:
        if not state:
            state["step"] = 0
            state["first"], state["second"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        (b1, b2), n = group["betas"], state["step"]
        state["first"].lerp_(parameter.grad, 1 - b1)
        state["second"].mul_(b2).addcmul_(parameter.grad, parameter.grad, value=1 - b2)
        size = (state["second"] / (1 - b2**n)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(state["first"], size, value=-group["lr"] * group["scale"] / (1 - b1**n))


def split_parameters(module: torch.nn.Module, ends: tuple[str, ...]) -> tuple[list, list]:
    """(hidden, others): matrices and kernels that lie inside the network, and the rest. `ends`: name prefixes of the
    rest.
    """
    hidden, others = [], []
    for name, parameter in module.named_parameters():
        inside = parameter.ndim >= 2 and not name.startswith(ends)
        (hidden if inside else others).append(parameter)
    return hidden, others
