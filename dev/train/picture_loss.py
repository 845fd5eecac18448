"""How far two pictures are apart: structure, edges, and the decoder's loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def ssim(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """Mean structural similarity of pictures in 0..1, uniform window (Wang et al. 2004)."""
    mean_a, mean_b = F.avg_pool2d(a, window, 1), F.avg_pool2d(b, window, 1)
    var_a, var_b = F.avg_pool2d(a * a, window, 1) - mean_a**2, F.avg_pool2d(b * b, window, 1) - mean_b**2
    both = F.avg_pool2d(a * b, window, 1) - mean_a * mean_b
    top = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
    return (top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))).mean()


def laplacian(x: Tensor) -> Tensor:
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=x.device, dtype=x.dtype)
    return F.conv2d(x, kernel.expand(x.shape[1], 1, 3, 3), groups=x.shape[1])


def picture_loss(made: Tensor, true: Tensor) -> Tensor:
    """L1, structure, and edges: the error of the second derivative, which plain L1 leaves soft."""
    return F.l1_loss(made, true) + 0.2 * (1 - ssim(made, true)) + 0.1 * F.l1_loss(laplacian(made), laplacian(true))
