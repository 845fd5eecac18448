"""The two small networks that EquiFashion trains beside its losses: a picture–text encoder and a garment segmentor.

Published names and shapes (`semantic_encoder.*`, `garment_segmentor.*`). Untrained they mean nothing, and the text side
reads bytes; as a measure use a real encoder (`consensus`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class SemanticEncoder(nn.Module):
    """Pictures and texts to vectors of one space, not normalised; `losses` wants them at length 1."""

    def __init__(self, width: int = 256):
        super().__init__()
        self.img_net = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.SiLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.SiLU())
        self.img_proj = nn.Linear(64, width)
        self.txt_emb = nn.Embedding(256, width)
        self.txt_proj = nn.Linear(width, width)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """images [B, 3, H, W] -> [B, width]."""
        return self.img_proj(self.img_net(images).mean((2, 3)))

    def encode_text(self, texts: Sequence[str | None]) -> torch.Tensor:
        """The mean of the embedded UTF-8 bytes of every text; an empty one is the single byte 0. -> [B, width]."""
        device = self.txt_emb.weight.device
        means = [
            self.txt_emb(torch.tensor(list((text or "").encode()) or [0], device=device)).mean(0) for text in texts
        ]
        return self.txt_proj(torch.stack(means))


class GarmentSegmentor(nn.Module):
    """Soft masks of four parts by a 1x1 convolution: [B, 3, H, W] -> [B, 4, H, W], summing to 1 over the parts."""

    def __init__(self, parts: int = 4):
        super().__init__()
        self.proj = nn.Conv2d(3, parts, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.proj(images).softmax(1)
