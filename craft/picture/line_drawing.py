"""Lines from a picture without a network: difference of Gaussians, thinned by a soft threshold (Winnemöller's XDoG).

Named "DoG lines" wherever it appears: it follows contrast, so prints and shadows give lines too.
"""

from __future__ import annotations

import torch
from torch.nn.functional import conv2d, pad


def dog_lines(images: torch.Tensor, thickness: float = 1.0, detail: float = 0.5) -> torch.Tensor:
    """[N, H, W, C >= 3] in 0..1 -> [N, H, W] lines in 0..1 (1 = line). `thickness`: Gaussian sigma in pixels at a
    longer side of 768; `detail` 0..1: how faint an edge may be and still be drawn."""
    grey = images[..., :3].float() @ images.new_tensor([0.299, 0.587, 0.114]).float()
    sigma = max(0.5, thickness * max(grey.shape[1:]) / 768)
    wide, narrow = _blur(grey, 1.6 * sigma), _blur(grey, sigma)
    difference = wide - narrow
    threshold = 0.06 * (1 - detail) + 0.004
    return torch.tanh((difference - threshold).clamp_min(0) * (2.0 / threshold))


def _blur(grey: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = max(1, round(3 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32, device=grey.device)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None]
    planes = grey[:, None]
    mode = "reflect" if radius < min(grey.shape[1:]) else "replicate"
    planes = conv2d(pad(planes, (radius, radius, 0, 0), mode), kernel[:, :, None])
    return conv2d(pad(planes, (0, 0, radius, radius), mode), kernel[:, :, :, None])[:, 0]


def thin(lines: torch.Tensor, keep: float = 0.5) -> torch.Tensor:
    """[N, H, W] soft lines -> thin ones: only maxima across the line's own direction stay, above `keep` of the
    strongest.
    """
    smooth = _blur(lines, 1.0)
    across = torch.stack([smooth.roll(1, -1) <= smooth, smooth.roll(-1, -1) <= smooth]).all(0)
    down = torch.stack([smooth.roll(1, -2) <= smooth, smooth.roll(-1, -2) <= smooth]).all(0)
    strong = lines >= keep * lines.amax((-2, -1), keepdim=True).clamp_min(1e-6)
    return lines * (across | down) * strong
