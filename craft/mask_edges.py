"""What happens at the border of a mask: hard and feathered forms, growth, and colours that meet along the seam."""

from __future__ import annotations

import numpy as np
import torch


def hard_mask(mask: torch.Tensor) -> torch.Tensor:
    """[B,H,W] in 0..1 -> bool; at least 0.5 is marked (the published rule; a stray 0.01 marks nothing)."""
    return mask >= 0.5


def grow_mask(marked: torch.Tensor, pixels: int) -> torch.Tensor:
    """bool [B,H,W] -> bool, larger by a disc of that radius; a negative number shrinks."""
    if pixels == 0:
        return marked
    if pixels < 0:
        return ~grow_mask(~marked, -pixels)
    grown = [_grow(row.cpu().numpy(), pixels) for row in marked]
    return torch.from_numpy(np.stack(grown)).to(marked.device)


def _grow(marked: np.ndarray, pixels: int) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    grown = marked.copy()
    window = _window(marked, pixels + 1)
    if window is not None:
        grown[window] = distance_transform_edt(~marked[window]) <= pixels
    return grown


def feather_mask(marked: torch.Tensor, pixels: int) -> torch.Tensor:
    """bool [B,H,W] -> float in 0..1 that fades *inside* the mask over that many pixels.

    Outside the mask it is exactly 0, deeper than `pixels` exactly 1; the picture's own border counts as inside.
    """
    if pixels <= 0:
        return marked.float()
    faded = [torch.from_numpy(_fade(row, pixels)) for row in marked]
    return torch.stack(faded).to(marked.device)


def _fade(marked: torch.Tensor, pixels: int) -> np.ndarray:
    depth = np.minimum(_distance(marked) / (pixels + 1), 1.0)
    return (depth * depth * (3 - 2 * depth)).astype(np.float32)  # smoothstep: no visible edge on either side


def _distance(marked: torch.Tensor) -> np.ndarray:
    """Distance of every marked pixel to the nearest unmarked one, in pixels, 0 where unmarked, inf without any.

    Computed in the mask's bounding box and one pixel around it: a small mask in a huge picture stays cheap.
    """
    from scipy.ndimage import distance_transform_edt

    array = marked.cpu().numpy()
    if array.all():
        return np.full(array.shape, np.inf)
    result = np.zeros(array.shape, np.float64)
    window = _window(array, 1)
    if window is not None:
        result[window] = distance_transform_edt(array[window])
    return result


def _window(marked: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """(rows, columns) of the marked pixels' bounding box and a margin, inside the picture; None without any."""
    sides = []
    for axis, length in enumerate(marked.shape):
        found = np.flatnonzero(marked.any(1 - axis))
        if not found.size:
            return None
        sides.append(slice(max(0, found[0] - margin), min(found[-1] + 1 + margin, length)))
    return sides[0], sides[1]


def seam_correction(old: torch.Tensor, new: torch.Tensor, marked: torch.Tensor, ring: int = 8) -> torch.Tensor:
    """A smooth colour field that carries the difference `old - new`, seen just outside the mask, into the mask.

    old, new: [H,W,C] in 0..1; marked: bool [H,W]. Returns [H,W,C], zeros where nothing lies outside the mask.
    The ring's colours are averaged over 4x4 cells, then spread by pull-push (coarse levels fill what finer ones lack).
    """
    outside = grow_mask(marked[None], ring)[0] & ~marked
    if not outside.any():
        return torch.zeros_like(new)
    weight = outside.to(new)[None, None]
    colour = (old - new).movedim(-1, 0)[None]
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


def _enlarge(field: torch.Tensor, factor: int, shape: tuple[int, int]) -> torch.Tensor:
    larger = torch.nn.functional.interpolate(field, scale_factor=factor, mode="bilinear", align_corners=False)
    return larger[..., : shape[0], : shape[1]]
