"""Where things are: readouts that hold the designer's features to the figure's layout.

At high noise levels the error of a latent is mostly colours that nobody told, so a sleeve or a hem moves it little and
words of shape are learnt last. These readouts ask for the layout alone (ATR labels and ink lines, four pixels fine),
which words and pose tell nearly completely; nothing of them is left at use. Our own; the sources have no such loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..craft.labels import ATR
from ..models.designer.network import DesignerUNet

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


def layout_loss(told: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of labels and of ink, [B,...] logits against the shares of `layout_shares`; 0 is perfect certainty."""
    rows, _, height, width = told.shape
    told, wanted = (x.float().view(rows, len(ATR) + 1, SIDE**2, height, width) for x in (told, wanted))
    labels = -(wanted[:, :-1] * told[:, :-1].log_softmax(1)).sum(1)
    ink = F.binary_cross_entropy_with_logits(told[:, -1], wanted[:, -1], reduction="none")
    weight = 1 + ON_FIGURE * (wanted[:, 0].mean(1) < 1)
    return ((labels + ink).mean(1) * weight).sum() / weight.sum()


class LayoutReadouts(nn.Module):
    """One linear readout a place, on features of the latents' size: behind the last upsampling and before the end."""

    def __init__(self, unet: DesignerUNet):
        super().__init__()
        widths = [unet.output_blocks[-3][-1].conv.weight.shape[0], unet.out[2].weight.shape[1]]
        self.readouts = nn.ModuleList(nn.Conv2d(width, SIDE**2 * (len(ATR) + 1), 1) for width in widths)
        self._seen: list[Tensor] = []
        for layer in (unet.output_blocks[-3][-1], unet.out[1]):
            layer.register_forward_hook(lambda _layer, _inputs, output: self._seen.append(output))

    def forward(self, wanted: Tensor) -> Tensor:
        """The mean loss of the features of the network's last call, which are forgotten."""
        seen = list(self._seen)
        self.forget()
        losses = [layout_loss(readout(features), wanted) for readout, features in zip(self.readouts, seen, strict=True)]
        return sum(losses) / len(losses)

    def forget(self) -> None:
        """Let go of the features of the network's last call."""
        self._seen.clear()
