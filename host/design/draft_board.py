"""The draft board: numbered drafts on one sheet, and the chosen ones as pictures and as latents."""

from __future__ import annotations

import torch

from ...craft.pick_list import parse_picks
from ...craft.picture.contact_sheet import contact_sheet
from ..images import from_uint8, to_uint8
from . import unfinished_latent

LARGEST_CELL = 384


def board(
    drafts: torch.Tensor, latent: dict | None, pick: str, columns: int
) -> tuple[torch.Tensor, torch.Tensor, dict | None]:
    """(sheet IMAGE, chosen drafts IMAGE, chosen LATENT or None). Raises ValueError for picks that do not exist and for
    a latent of another number of pictures."""
    if latent is not None and len(latent["samples"]) != len(drafts):
        raise ValueError(
            f"There are {len(drafts)} drafts but {len(latent['samples'])} latents; connect those of one sampler."
        )
    indices = parse_picks(pick, len(drafts))
    height, width = drafts.shape[1:3]
    scale = min(1.0, LARGEST_CELL / max(height, width))
    labels = [f"{i + 1}  ✓" if i in indices and pick.strip() else f"{i + 1}" for i in range(len(drafts))]
    sheet = contact_sheet(
        list(to_uint8(drafts)), labels, columns=columns, cell=(round(width * scale), round(height * scale))
    )
    chosen = unfinished_latent.picked(latent, indices) if latent is not None else None
    return from_uint8(sheet[None]), drafts[indices], chosen
