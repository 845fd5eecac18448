"""Cut the place that a mask marks out of a picture, and put a repainted version back without touching anything else.

One `CropPlan` serves person, mask and pose. The crop comes first and is scaled afterwards, so the cost depends on the
marked place, not on the picture. A box never needs a black border: it is moved into the picture, and where it is
larger than the picture the border pixels are repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..counts import check_count, own
from .mask_edges import hard_mask, seam_correction

Bounds = tuple[int, int, int, int]  # left, top, right, bottom

SMALLEST_BOX = 64  # pixels: below this a network sees no body around the mask


@dataclass(frozen=True)
class CropBox:
    """A box in picture pixels. It may stick out of the picture; what lies outside repeats the border."""

    left: int
    top: int
    width: int
    height: int

    def inside(self, width: int, height: int) -> tuple[slice, slice]:
        """(rows, columns) of the part of the box that lies in a picture of this size."""
        return (
            slice(max(0, self.top), min(height, self.top + self.height)),
            slice(max(0, self.left), min(width, self.left + self.width)),
        )


@dataclass(frozen=True)
class CropPlan:
    """One box a picture of the batch, all brought to one size.

    picture: (width, height) of the whole pictures. size: (width, height) that the network works at.
    """

    picture: tuple[int, int]
    boxes: tuple[CropBox, ...]
    size: tuple[int, int]

    def crop(self, pictures: torch.Tensor) -> torch.Tensor:
        """[B,H,W,C] in the plan's picture size -> [B,h,w,C] in its network size; smooth, values stay in 0..1."""
        return torch.stack([resize(_cut(p, box), self.size) for p, box in self._rows(pictures)])

    def crop_mask(self, masks: torch.Tensor) -> torch.Tensor:
        """[B,H,W] -> [B,h,w]; nearest pixel, so that a hard mask stays hard."""
        rows = self._rows(masks)
        return torch.stack([resize(_cut(m, box)[..., None], self.size, smooth=False)[..., 0] for m, box in rows])

    def crop_points(self, points: np.ndarray, row: int = 0) -> np.ndarray:
        """x, y (and more columns, untouched) in picture pixels -> in network pixels. [..., >=2]."""
        box = self.boxes[row % len(self.boxes)]
        moved = np.array(points, dtype=np.float64)
        moved[..., 0] = (moved[..., 0] - box.left) * self.size[0] / box.width
        moved[..., 1] = (moved[..., 1] - box.top) * self.size[1] / box.height
        return moved

    def _rows(self, batch: torch.Tensor) -> list[tuple[torch.Tensor, CropBox]]:
        width, height = self.picture
        if batch.shape[1:3] != (height, width):
            raise ValueError(
                f"A picture of {batch.shape[2]}x{batch.shape[1]} pixels came with a crop planned for {width}x{height}: "
                "person, mask and pose must belong to the same picture."
            )
        check_count(len(batch), "pictures", len(self.boxes), "crops")
        return [(own(batch, i), box) for i, box in enumerate(self.boxes)]


def plan_crop(
    mask: torch.Tensor,
    size: tuple[int, int] | None = None,
    *,
    whole: bool = False,
    padding: float = 0.05,
    multiple: int = 8,
) -> CropPlan:
    """Choose a box for every mask of a batch.

    mask: [B,H,W]; at least 0.5 counts as marked. size: (width, height) to scale every crop to, rounded up to
    `multiple`; None keeps the picture's own pixels (no scaling; all boxes of the batch then share the largest size).
    whole: take the whole picture instead of the surroundings of the mask. padding: room around the mask on each side,
    as a share of the box (published: 0.05). Raises ValueError for an empty mask.
    """
    marked = hard_mask(mask)
    height, width = marked.shape[1:]
    bounds = [_bounds(row, index, len(marked)) for index, row in enumerate(marked)]
    if whole:
        bounds, padding = [(0, 0, width, height)] * len(bounds), 0.0
    if size is None:
        sides = [_own_size(b, padding, multiple, 0 if whole else SMALLEST_BOX, (width, height)) for b in bounds]
        size = max(s[0] for s in sides), max(s[1] for s in sides)
        boxes = [_place(b, size, (width, height), anchor_corner=whole) for b in bounds]
    else:
        size = _round_up(size[0], multiple), _round_up(size[1], multiple)
        least = min(SMALLEST_BOX, width, height)
        boxes = [_place(b, _in_aspect(b, size, padding, least), (width, height)) for b in bounds]
    return CropPlan((width, height), tuple(boxes), size)


def stitch(
    pictures: torch.Tensor, new: torch.Tensor, plan: CropPlan, mask: torch.Tensor, *, seam_colour: float = 0.0
) -> torch.Tensor:
    """Put repainted crops back.

    pictures: [B,H,W,C] originals. new: [N,h,w,C], N a multiple of B (row i belongs to picture i mod B), any size.
    mask: [B,H,W] in 0..1, how much of the new picture shows. seam_colour: 0..1, how far the new colours are
    moved so that they meet the original's along the seam. Returns [N,H,W,C]; where the mask is 0 every
    pixel is the original's, bit for bit. Raises ValueError when the batches do not fit.
    """
    count = len(pictures)
    check_count(len(mask), "masks", count)
    if len(new) % count:
        raise ValueError(f"{len(new)} repainted pictures do not divide among {count} originals.")
    if new.shape[-1] != pictures.shape[-1]:
        raise ValueError(f"The repainted picture has {new.shape[-1]} channels, the original {pictures.shape[-1]}.")
    result = pictures.repeat(len(new) // count, 1, 1, 1)
    for index, repainted in enumerate(new):
        row = index % count
        box = plan.boxes[row]
        rows, cols = box.inside(*plan.picture)
        patch = resize(repainted.to(pictures), (box.width, box.height))
        patch = patch[rows.start - box.top : rows.stop - box.top, cols.start - box.left : cols.stop - box.left]
        old, shown = pictures[row, rows, cols], own(mask, row)[rows, cols].to(pictures)
        if seam_colour:
            patch = (patch + seam_colour * seam_correction(old, patch, shown > 0)).clamp(0, 1)
        shown = shown[..., None]
        mixed = torch.where(shown < 1, old + (patch - old) * shown, patch)
        result[index, rows, cols] = torch.where(shown > 0, mixed, old)
    return result


def resize(picture: torch.Tensor, size: tuple[int, int], *, smooth: bool = True) -> torch.Tensor:
    """[H,W,C] -> [h,w,C], size (width, height): bicubic with antialiasing, or the nearest pixel; same size, same
    tensor.
    """
    if (picture.shape[1], picture.shape[0]) == tuple(size):
        return picture
    planes = picture.movedim(-1, 0)[None].float()
    target = (size[1], size[0])
    if smooth:
        scaled = torch.nn.functional.interpolate(planes, target, mode="bicubic", antialias=True).clamp(0, 1)
    else:
        scaled = torch.nn.functional.interpolate(planes, target, mode="nearest-exact")
    return scaled[0].movedim(0, -1).to(picture.dtype)


def _cut(picture: torch.Tensor, box: CropBox) -> torch.Tensor:
    rows = torch.arange(box.top, box.top + box.height, device=picture.device).clamp(0, picture.shape[0] - 1)
    cols = torch.arange(box.left, box.left + box.width, device=picture.device).clamp(0, picture.shape[1] - 1)
    return picture[rows][:, cols]


def _bounds(marked: torch.Tensor, index: int, count: int) -> tuple[int, int, int, int]:
    rows, cols = torch.nonzero(marked.any(1)), torch.nonzero(marked.any(0))
    if not len(rows):
        which = f" number {index + 1} of {count}" if count > 1 else ""
        raise ValueError(
            f"The mask{which} is empty: no pixel is at least 0.5. Mark the place where the garment goes (paint it in "
            "the mask editor, or connect a mask made for this person)."
        )
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


def _own_size(bounds: Bounds, padding: float, multiple: int, least: int, picture: tuple[int, int]) -> tuple[int, int]:
    """Size of a box in the picture's own pixels: the padded mask, not larger than the picture, rounded up."""
    sides = []
    for low, high, limit in ((bounds[0], bounds[2], picture[0]), (bounds[1], bounds[3], picture[1])):
        wanted = max((high - low) * (1 + 2 * padding), least)
        sides.append(_round_up(min(wanted, limit), multiple))
    return sides[0], sides[1]


def _in_aspect(bounds: Bounds, size: tuple[int, int], padding: float, least: int) -> tuple[int, int]:
    """Size of the box around the bounds with the aspect of `size`, padded on each side, no side below `least`."""
    width, height = bounds[2] - bounds[0], bounds[3] - bounds[1]
    aspect = size[0] / size[1]
    box_width = max(max(height * aspect, width) * (1 + 2 * padding), least, least * aspect)
    return max(1, round(box_width)), max(1, round(box_width / aspect))


def _place(bounds: Bounds, size: tuple[int, int], picture: tuple[int, int], anchor_corner: bool = False) -> CropBox:
    """Centre a box on the bounds and move it into the picture; centre it on the picture where it is larger."""
    corner = []
    for low, high, length, limit in (
        (bounds[0], bounds[2], size[0], picture[0]),
        (bounds[1], bounds[3], size[1], picture[1]),
    ):
        if length >= limit:
            corner.append(0 if anchor_corner else -((length - limit) // 2))
        else:
            corner.append(min(max(0, (low + high - length) // 2), limit - length))
    return CropBox(corner[0], corner[1], size[0], size[1])


def _round_up(value: float, multiple: int) -> int:
    return max(multiple, int(-(-value // multiple) * multiple))
