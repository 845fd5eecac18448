"""The host's pictures and masks: checks, layouts, and previews in the node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..craft.counts import check_count
from ..craft.whole_files import make_folder, save_picture

MASK_SHAPE = "[batch, height, width]"


def checked_picture(image: torch.Tensor, name: str, channels: tuple[int, ...] = (3,)) -> torch.Tensor:
    """An IMAGE [B,H,W,C] as float32, or ValueError in one sentence. name: what the artist calls this input."""
    if not isinstance(image, torch.Tensor) or image.ndim != 4:
        shape = list(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
        raise ValueError(f"The {name} has shape {shape}; an IMAGE is [batch, height, width, channels].")
    if 0 in image.shape:
        raise ValueError(f"The {name} is empty: its shape is {list(image.shape)}. Connect a picture with pixels.")
    if image.shape[-1] not in channels:
        wanted = " or ".join(str(c) for c in channels)
        raise ValueError(
            f"The {name} has {image.shape[-1]} channels, {wanted} expected: convert it to RGB before this node."
        )
    if not torch.isfinite(image).all():
        raise ValueError(f"The {name} holds NaN or infinite pixels: the node that made it failed; look there first.")
    return image.float()


def checked_mask(mask: torch.Tensor, name: str, picture: torch.Tensor) -> torch.Tensor:
    """A MASK as [B,H,W] float32 of the size of `picture` [B,H,W,C]; one mask may serve all pictures.

    A mask of another size is scaled when its proportions are the picture's, and refused otherwise.
    """
    if mask.ndim == 2:
        mask = mask[None]
    if mask.ndim == 4 and 1 in (mask.shape[1], mask.shape[-1]):
        mask = mask[:, 0] if mask.shape[1] == 1 else mask[..., 0]
    if mask.ndim != 3 or 0 in mask.shape:
        raise ValueError(f"The {name} has shape {list(mask.shape)}; a MASK is {MASK_SHAPE} with pixels in it.")
    if not torch.isfinite(mask).all():
        raise ValueError(f"The {name} holds NaN or infinite values: the node that made it failed; look there first.")
    check_count(len(mask), f"masks ({name})", len(picture))
    height, width = picture.shape[1:3]
    if mask.shape[1:] != (height, width):
        if abs(mask.shape[2] * height - mask.shape[1] * width) > 0.02 * mask.shape[1] * width:
            raise ValueError(
                f"The {name} is {mask.shape[2]}x{mask.shape[1]} pixels, the picture {width}x{height}: connect a mask "
                "made "
                "for this picture (Load Image gives an empty 64x64 mask where the file has no transparency)."
            )
        mask = torch.nn.functional.interpolate(mask[:, None].float(), (height, width), mode="nearest-exact")[:, 0]
    return mask.float().expand(len(picture), -1, -1)


def planes(image: torch.Tensor) -> torch.Tensor:
    """[B,H,W,C] -> [B,C,H,W]."""
    return image.movedim(-1, 1)


def pixels(image: torch.Tensor) -> torch.Tensor:
    """[B,C,H,W] -> [B,H,W,C]."""
    return image.movedim(1, -1)


def to_uint8(image: torch.Tensor) -> np.ndarray:
    """IMAGE [...,C] in 0..1 -> uint8, rounded."""
    return (image.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def from_uint8(array: np.ndarray) -> torch.Tensor:
    """uint8 [H,W,C] or [B,H,W,C] -> IMAGE [B,H,W,C] in 0..1."""
    image = torch.from_numpy(np.ascontiguousarray(array)).float() / 255
    return image[None] if image.ndim == 3 else image


def preview(image: torch.Tensor, prefix: str) -> list[dict]:
    """Save an IMAGE into the host's temp folder; returns the entries for a node's ui["images"]. Raises NotWritten."""
    import folder_paths
    from PIL import Image

    array = to_uint8(image)
    make_folder(folder_paths.get_temp_directory())  # the host would make it too, with an error of its own
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        f"atelier_{prefix}", folder_paths.get_temp_directory(), array.shape[2], array.shape[1]
    )
    entries = []
    for index, picture in enumerate(array):
        filename = f"{name}_{counter + index:05}_.png"
        save_picture(Path(folder) / filename, Image.fromarray(picture), compress_level=1)
        entries.append({"filename": filename, "subfolder": subfolder, "type": "temp"})
    return entries
