"""Tiles cover everything, overlap enough, and their weights never vanish."""

import itertools

import pytest
import torch
from atelier.craft.picture.tile_layout import TileLayout


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (40, 17), (100, 64)])
@pytest.mark.parametrize("tile, overlap", [(8, 0), (16, 4), (16, 15)])
def test_tiles_cover_and_overlap(size, tile, overlap):
    layout = TileLayout(size, (tile, tile), overlap)
    covered = torch.zeros(size)
    for rows, columns in layout.windows():
        covered[rows, columns] += layout.weight()
    assert (covered > 0).all()
    for axis in (0, 1):
        starts, length = layout.starts(axis), min(tile, size[axis])
        assert starts[0] == 0 and starts[-1] + length == size[axis]
        assert all(b - a <= length - overlap for a, b in itertools.pairwise(starts))


def test_a_tile_cannot_overlap_itself():
    with pytest.raises(ValueError, match="cannot overlap by 8"):
        TileLayout((20, 20), (8, 8), 8)
