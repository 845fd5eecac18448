"""Overlapping tiles that cover a rectangle, and the weights that blend them without a visible seam."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch


@dataclass(frozen=True)
class TileLayout:
    """Tiles of `tile` (height, width) over `size`, evenly spaced, sharing at least `overlap` with each neighbour.

    All three in the same unit (latent cells). A tile side longer than the size becomes the size.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    overlap: int

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < min(self.tile):
            raise ValueError(
                f"Tiles of {self.tile[1]} x {self.tile[0]} cannot overlap by {self.overlap}; take less than the tile."
            )

    def starts(self, axis: int) -> list[int]:
        size, tile = self.size[axis], min(self.tile[axis], self.size[axis])
        if tile == size:
            return [0]
        count = ceil((size - self.overlap) / (tile - self.overlap))
        return [round(i * (size - tile) / (count - 1)) for i in range(count)]

    def windows(self) -> list[tuple[slice, slice]]:
        """(rows, columns) of every tile, row by row."""
        height, width = (min(self.tile[axis], self.size[axis]) for axis in (0, 1))
        return [(slice(y, y + height), slice(x, x + width)) for y in self.starts(0) for x in self.starts(1)]

    def weight(self) -> torch.Tensor:
        """[tile height, tile width]: 1 inside, falling linearly towards the edges over the overlap, never 0."""
        ramps = []
        for axis in (0, 1):
            length = min(self.tile[axis], self.size[axis])
            steps = torch.arange(1, length + 1, dtype=torch.float32)
            ramps.append((torch.minimum(steps, steps.flip(0)) / (self.overlap + 1)).clamp_max(1))
        return ramps[0][:, None] * ramps[1][None]
