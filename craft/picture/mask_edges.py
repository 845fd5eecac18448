"""What happens at the border of a mask: hard and feathered forms, growth, and colours that meet along the seam."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

USUAL_TINT = 0.1  # a seam's colour difference, in 0..1 pixels, up to which it counts as tint


def hard_mask(mask: torch.Tensor) -> torch.Tensor:
    """[B,H,W] in 0..1 -> bool; at least 0.5 is marked (the published rule; a stray 0.01 marks nothing)."""
    return mask >= 0.5


def grow_mask(marked: torch.Tensor, pixels: int) -> torch.Tensor:
    """bool [B,H,W] -> bool, larger by a disc of that radius; a negative number shrinks."""
    if pixels == 0:
        return marked
    if pixels < 0:
        return ~grow_mask(~marked, -pixels)
    grown = [_depth(~row.cpu().numpy(), pixels + 1) <= pixels for row in marked]
    return torch.from_numpy(np.stack(grown)).to(marked.device)


def feather_mask(marked: torch.Tensor, pixels: int) -> torch.Tensor:
    """bool [B,H,W] -> float in 0..1 that fades *inside* the mask over that many pixels.

    Outside the mask it is exactly 0, deeper than `pixels` exactly 1; the picture's own border counts as inside. A piece
    of the mask that is not so deep anywhere fades over its own depth: its middle is 1.
    """
    if pixels <= 0:
        return marked.float()
    faded = []
    for row in marked:
        share = _share_of_depth(row.cpu().numpy(), pixels + 1)
        faded.append(share * share * (3 - 2 * share))  # smoothstep: no visible edge on either side
    return torch.from_numpy(np.stack(faded)).to(marked.device)


def _share_of_depth(marked: np.ndarray, limit: int) -> np.ndarray:
    """float32 0..1: the depth in shares of `limit`, or of the deepest place of a piece that is less deep."""
    from scipy.ndimage import label, maximum

    depth = _depth(marked, limit)
    pieces, count = label(marked, np.ones((3, 3)))
    deepest = np.minimum(maximum(depth, pieces, np.arange(count + 1)), limit)
    deepest[0] = limit  # outside the mask
    return depth / deepest.astype(np.float32)[pieces]


def _depth(marked: np.ndarray, limit: int, tile: int = 512) -> np.ndarray:
    """Distance of every marked pixel to the nearest unmarked one, at most `limit`, float32; 0 where unmarked.

    Only tiles that hold an edge within `limit` are computed: the cost follows the mask's outline, not the picture.
    """
    from scipy.ndimage import distance_transform_edt

    height, width = marked.shape
    depth = np.where(marked, np.float32(limit), np.float32(0))
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            up, side = max(0, top - limit), max(0, left - limit)
            around = marked[up : top + tile + limit, side : left + tile + limit]
            if around.all() or not around.any():
                continue
            distance = np.minimum(distance_transform_edt(around), limit)[top - up :, left - side :]
            depth[top : top + tile, left : left + tile] = distance[:tile, :tile]
    return depth


def seam_correction(old: torch.Tensor, new: torch.Tensor, marked: torch.Tensor, ring: int = 8) -> torch.Tensor:
    """A smooth colour field that carries the difference `old - new`, seen just outside the mask, into the mask.

    old, new: [H,W,C] in 0..1; marked: bool [H,W]. Returns [H,W,C], zeros where nothing lies outside the mask.
    The ring's colours are averaged over 4x4 cells, then spread by pull-push (coarse levels fill what finer ones lack).
    Ring pixels that differ much more than usual show other content (a hand, an edge), no tint: they count little.
    """
    outside = grow_mask(marked[None], ring)[0] & ~marked
    if not outside.any():
        return torch.zeros_like(new)
    colour = old - new
    stray = (colour - colour[outside].median(0).values).norm(dim=-1) / USUAL_TINT
    weight = (outside / (1 + stray**4)).to(new)[None, None]
    colour = colour.movedim(-1, 0)[None]
    return _enlarge(_pull_push(*_pool(colour, weight, 4)), 4, marked.shape)[0].movedim(0, -1)


def _pool(colour: torch.Tensor, weight: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted mean of cells of factor x factor (partial cells at the border); weight: the share that is known, x 4."""
    pad = (0, -colour.shape[-1] % factor, 0, -colour.shape[-2] % factor)
    colour, weight = (torch.nn.functional.pad(x, pad) for x in (colour * weight, weight))
    total = torch.nn.functional.avg_pool2d(weight, factor)
    mean = torch.nn.functional.avg_pool2d(colour, factor) / total.clamp_min(1e-6)
    return mean, (total * 4).clamp(max=1)


def _pull_push(colour: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if max(weight.shape[-2:]) == 1:
        return colour
    fill = _enlarge(_pull_push(*_pool(colour, weight, 2)), 2, weight.shape[-2:])
    return colour * weight + fill * (1 - weight)


def _enlarge(field: torch.Tensor, factor: int, shape: Sequence[int]) -> torch.Tensor:
    larger = torch.nn.functional.interpolate(field, scale_factor=factor, mode="bilinear", align_corners=False)
    return larger[..., : shape[0], : shape[1]]
