"""Before and after as one IMAGE."""

from __future__ import annotations

import numpy as np
import torch

from ...craft.counts import common_count, own
from ...craft.picture.contact_sheet import before_after
from ..images import checked_picture, from_uint8, to_uint8


def compare(before: torch.Tensor, after: torch.Tensor, layout: str, position: float) -> torch.Tensor:
    """IMAGE [B,H,W,3] of comparisons; a single picture on one side is compared with every picture of the other."""
    left, right = to_uint8(checked_picture(before, "before picture")), to_uint8(checked_picture(after, "after picture"))
    count = common_count(pictures_before=len(left), pictures_after=len(right))
    pairs = [(own(left, i), own(right, i)) for i in range(count)]
    return from_uint8(np.stack([before_after(a, b, layout=layout, position=position) for a, b in pairs]))
