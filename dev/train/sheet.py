"""Sample sheets: columns of person, garments, result, truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .tryon.pairs import Batch


def write_sheet(path: Path, batch: Batch, rows: list[torch.Tensor]) -> None:
    """One column a sample: the masked person with the pose, each flat-lay, then `rows` ([B,3,H,W] in 0..1), then the
    truth.
    """
    mask = batch.mask.float()
    person = batch.person.float() / 255
    shown = [person * (1 - mask) + mask * batch.pose.float() / 255]
    shown += [batch.flats[:, i].float() / 255 for i in range(batch.flats.shape[1])]
    shown += [*rows, person]
    picture = torch.cat([torch.cat(list(row.clamp(0, 1)), 2) for row in shown], 1)
    Image.fromarray((picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)
