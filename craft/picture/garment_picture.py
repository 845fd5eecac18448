"""A garment's picture made ready for the reference pass: background to white, fitted to one size."""

from __future__ import annotations

import hashlib

import torch

from .crop_and_stitch import resize

FITS = ("pad", "crop", "stretch")


def on_white(picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[B,H,W,3] and the garment's mask [B,H,W] (1 = garment) -> the garment on white, as flat-lays are trained."""
    shown = mask[..., None]
    return picture * shown + (1 - shown)


def fit_garment(picture: torch.Tensor, size: tuple[int, int], fit: str) -> torch.Tensor:
    """[B,H,W,3] -> [B,h,w,3] in 0..1, size (width, height).

    fit: "pad" keeps the whole garment on a white canvas (published for the node), "crop" cuts the centre to the
    size's proportions (published for DressCode-MR), "stretch" ignores proportions (published demo).
    Raises ValueError for another fit.
    """
    width, height = size
    own_height, own_width = picture.shape[1:3]
    wide = own_width * height > own_height * width
    if fit == "stretch":
        return _resized(picture, width, height)
    if fit == "crop":
        w = max(1, own_height * width // height) if wide else own_width
        h = own_height if wide else max(1, own_width * height // width)
        top, left = (own_height - h) // 2, (own_width - w) // 2
        return _resized(picture[:, top : top + h, left : left + w], width, height)
    if fit == "pad":
        w = width if wide else max(1, own_width * height // own_height)
        h = max(1, own_height * width // own_width) if wide else height
        canvas = picture.new_ones(len(picture), height, width, 3)
        top, left = (height - h) // 2, (width - w) // 2
        canvas[:, top : top + h, left : left + w] = _resized(picture, w, h)
        return canvas
    raise ValueError(f"Fit {fit!r} is unknown; choose pad, crop or stretch.")


def _resized(pictures: torch.Tensor, width: int, height: int) -> torch.Tensor:
    return torch.stack([resize(picture, (width, height)) for picture in pictures])


def content_key(picture: torch.Tensor, *settings: object) -> str:
    """SHA-256 of a picture's pixels, its shape, and everything that decides what becomes of it."""
    digest = hashlib.sha256(repr((tuple(picture.shape), str(picture.dtype), settings)).encode())
    digest.update(picture.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
