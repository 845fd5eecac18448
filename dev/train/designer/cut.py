"""What a garment's words say of its cut, and readouts that hold a designer's text attentions to it.

Sleeve types, collars and hems are a few cells of a figure: the error of the latent hardly asks for them, and an
attention that has found any word of its garment has no reason to read these. From what a text attention gives, a linear
readout tells the attributes of the garment that a cell shows, as far as the prompt says them; nothing of it is left at
use. Our own; the sources have no such loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....croquis.garment import COLLARS, HEMS, LENGTHS, SLEEVE_LENGTHS, SLEEVE_TYPES, GarmentSpec
from .design_prompts import Piece

CUT = {
    "length": LENGTHS, "sleeve_length": SLEEVE_LENGTHS, "sleeve_type": SLEEVE_TYPES, "collar": COLLARS, "hem": HEMS,
}  # fmt: skip
GARMENTS = 4  # rows of the table; a figure wears fewer
UNSAID = -1


def said_cuts(pieces: Iterable[Piece], garments: Sequence[GarmentSpec]) -> np.ndarray:
    """int8 [GARMENTS, len(CUT)]: number of each attribute that the prompt says of a garment, or UNSAID."""
    table = np.full((GARMENTS, len(CUT)), UNSAID, np.int8)
    for piece in pieces:
        if piece.says in CUT and 0 <= piece.owner < GARMENTS:
            choices = CUT[piece.says]
            table[piece.owner, list(CUT).index(piece.says)] = choices.index(getattr(garments[piece.owner], piece.says))
    return table


class CutReadouts(nn.Module):
    """One linear readout for each text attention."""

    def __init__(self, widths: Iterable[int]):
        super().__init__()
        self.readouts = nn.ModuleList(nn.Linear(width, sum(map(len, CUT.values()))) for width in widths)

    def forward(self, given: Sequence[Tensor], cuts: Tensor, owner: Tensor) -> Tensor:
        """Mean cross-entropy over attentions and attributes.

        given: what each attention gives, [B,L,width]; cuts: int8 [B,GARMENTS,len(CUT)]; owner: int8 [B,h,w], the
        garment that a cell shows or -1, at the latents' size.
        """
        told = [readout(out).float() for out, readout in zip(given, self.readouts, strict=True)]
        losses = [loss for of_one in told for loss in self._of_attention(of_one, cuts.long(), owner)]
        # Where nothing was said every readout has a gradient still: other processes wait for it.
        nothing = sum(of_one.sum() for of_one in told) * 0
        return nothing + torch.stack(losses).mean() if losses else nothing

    @staticmethod
    def _of_attention(told: Tensor, cuts: Tensor, owner: Tensor) -> Iterable[Tensor]:
        factor = round((owner.shape[1] * owner.shape[2] / told.shape[1]) ** 0.5)
        cells = owner[:, ::factor, ::factor].flatten(1).long()
        wanted = cuts.gather(1, cells.clamp(min=0)[:, :, None].expand(-1, -1, cuts.shape[2]))
        wanted = wanted.masked_fill((cells < 0)[:, :, None], UNSAID)
        for number, part in enumerate(told.split([len(choices) for choices in CUT.values()], -1)):
            known = wanted[:, :, number] != UNSAID
            if known.any():
                yield F.cross_entropy(part[known], wanted[:, :, number][known])
