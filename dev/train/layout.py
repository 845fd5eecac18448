"""Where things are: readouts that hold a network's features to the figure's layout.

At high noise levels the error of a designer's latent is mostly colours that nobody told, so a sleeve or a hem moves it
little and words of shape are learnt last; four fifths of a try-on's error lie in the cells that a garment's outline
crosses. These readouts ask for the layout alone (ATR labels and ink lines, four pixels fine), which words or garments,
and the pose, tell nearly completely; nothing of them is left at use. Our own; the sources have no such loss.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...craft.body.labels import ATR

FINE = 4  # pixels of a layout cell
SIDE = 2  # layout cells along a latent cell
ON_FIGURE = 2.0  # extra weight of a latent cell that is not bare ground


def layout_shares(labels: Tensor, ink: Tensor) -> Tensor:
    """[B, SIDE^2 * (labels + 1), h, w]: the share of each label, and of ink, in the layout cells of a latent cell.

    labels: uint8 [B,2h*SIDE,2w*SIDE], ATR numbers at every second pixel; ink: uint8 [B,h*SIDE,w*SIDE], 255 all ink.
    """
    shares = F.one_hot(labels.long(), len(ATR)).permute(0, 3, 1, 2).float()
    shares = torch.cat([F.avg_pool2d(shares, FINE // 2), ink[:, None].float() / 255], 1)
    return F.pixel_unshuffle(shares, SIDE)


def ink_shares(sketch: np.ndarray) -> np.ndarray:
    """uint8 [H/4,W/4]: how much of four by four pixels is ink. sketch: uint8 [H,W], dark on white."""
    height, width = sketch.shape
    return (255 - sketch.reshape(height // FINE, FINE, width // FINE, FINE).mean((1, 3))).round().astype(np.uint8)


def garment_edges(labels: Tensor) -> Tensor:
    """float [B,h,w]: 1 where a garment's edge crosses a latent cell. labels: uint8 [B,2h*SIDE,2w*SIDE], as above."""
    garments = torch.tensor([ATR.index(name) for name in ("upper-clothes", "skirt", "pants", "dress")])
    inside = torch.isin(labels, garments.to(labels))[:, None].float()
    cell = FINE // 2 * SIDE
    numbers = labels[:, None].float()
    mixed = F.max_pool2d(numbers, cell) != -F.max_pool2d(-numbers, cell)
    return (mixed & (F.max_pool2d(inside, cell) > 0))[:, 0].float()


def layout_loss(told: Tensor, wanted: Tensor, where: Tensor | None = None) -> Tensor:
    """Cross-entropy of labels and of ink, [B,...] logits against the shares of `layout_shares`; 0 is perfect certainty.

    where: [B,h,w], a further weight of every latent cell.
    """
    rows, _, height, width = told.shape
    told, wanted = (x.float().view(rows, len(ATR) + 1, SIDE**2, height, width) for x in (told, wanted))
    labels = -(wanted[:, :-1] * told[:, :-1].log_softmax(1)).sum(1)
    ink = F.binary_cross_entropy_with_logits(told[:, -1], wanted[:, -1], reduction="none")
    weight = 1 + ON_FIGURE * (wanted[:, 0].mean(1) < 1)
    if where is not None:
        weight = weight * where
    return ((labels + ink).mean(1) * weight).sum() / weight.sum()


class LayoutReadouts(nn.Module):
    """One linear readout a place: of what these layers of a network give, features of the latents' size."""

    def __init__(self, places: list[tuple[nn.Module, int]]):
        """places: layers, and how many channels each one gives."""
        super().__init__()
        self.readouts = nn.ModuleList(nn.Conv2d(width, SIDE**2 * (len(ATR) + 1), 1) for _, width in places)
        self._seen: list[Tensor] = []
        for layer, _ in places:
            layer.register_forward_hook(lambda _layer, _inputs, output: self._seen.append(output))

    def forward(self, wanted: Tensor, where: Tensor | None = None) -> Tensor:
        """The mean loss of the features of the network's last call, which are forgotten."""
        seen = list(self._seen)
        self.forget()
        losses = [layout_loss(readout(x), wanted, where) for readout, x in zip(self.readouts, seen, strict=True)]
        return sum(losses) / len(losses)

    def forget(self) -> None:
        """Let go of the features of the network's last call."""
        self._seen.clear()
