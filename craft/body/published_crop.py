"""FastFit's own picture geometry, number for number, for parity with the released code (PIL pictures, 8 bits).

Atelier's nodes use `crop_and_stitch` instead: the published crop scales the *whole* picture before cutting, which
makes a small mask in a large picture cost gigabytes, and its integer truncation lets the box stick out by 1-3 pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

PUBLISHED_SIZE = (768, 1024)


class PublishedCrop(NamedTuple):
    """Where the published crop lies: size of the scaled whole picture, and the box in it (left, top, right, bottom)."""

    scaled: tuple[int, int]
    box: tuple[int, int, int, int]


def published_crop_box(
    picture: tuple[int, int],
    mask_box: tuple[int, int, int, int],
    target: tuple[int, int] = PUBLISHED_SIZE,
    padding_ratio: float = 0.05,
) -> PublishedCrop:
    """The box around a mask, in the aspect of `target`, all sizes (width, height) in pixels.

    mask_box: left, top, right, bottom, the last two exclusive. Source: FastFit's released `adjust_input_image`,
    including its overhang of up to 3 pixels.
    """
    width, height = picture
    left, top, right, bottom = mask_box
    aspect = target[0] / target[1]
    ideal_w = max((bottom - top) * aspect, right - left)
    ideal_h = max((right - left) / aspect, bottom - top)
    x0, x1 = (left + right) / 2 - ideal_w / 2, (left + right) / 2 + ideal_w / 2
    y0, y1 = (top + bottom) / 2 - ideal_h / 2, (top + bottom) / 2 + ideal_h / 2
    padding = min(padding_ratio, (x0 + width - x1) / (2 * ideal_w), (y0 + height - y1) / (2 * ideal_h))
    pad_w, pad_h = int(ideal_w * padding), int(ideal_h * padding)
    x0, x1, y0, y1 = x0 - pad_w, x1 + pad_w, y0 - pad_h, y1 + pad_h
    if x0 < 0:
        x0, x1 = 0, x1 - x0
    if y0 < 0:
        y0, y1 = 0, y1 - y0
    if x1 > width:
        x0, x1 = x0 - (x1 - width), width
    if y1 > height:
        y0, y1 = y0 - (y1 - height), height
    scale = target[0] / (x1 - x0)
    corner = int(x0 * scale), int(y0 * scale)
    return PublishedCrop(
        (int(width * scale), int(height * scale)), (*corner, corner[0] + target[0], corner[1] + target[1])
    )


def published_adjust_input_image(
    image: Image.Image, mask: Image.Image, target: tuple[int, int] = PUBLISHED_SIZE, padding_ratio: float = 0.05
) -> tuple[Image.Image, Image.Image, Image.Image, PublishedCrop]:
    """(scaled whole picture, crop, crop of the mask, geometry). Raises ValueError for an empty mask."""
    rows, cols = np.nonzero(np.asarray(mask.convert("L")) > 0)
    if rows.size == 0:
        raise ValueError("The mask is empty: nothing marks the place where the garment goes.")
    mask_box = (int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1)
    crop = published_crop_box(image.size, mask_box, target, padding_ratio)
    scaled = image.resize(crop.scaled, Image.Resampling.LANCZOS)
    scaled_mask = mask.resize(crop.scaled, Image.Resampling.NEAREST)
    return scaled, scaled.crop(crop.box), scaled_mask.crop(crop.box), crop


def published_feather(size: tuple[int, int], box: tuple[int, int, int, int], radius: float = 50) -> Image.Image:
    """The blurred rectangle along which the published paste blends, an L picture of `size`."""
    mask = Image.new("L", size, 0)
    mask.paste(255, box)
    return mask.filter(ImageFilter.GaussianBlur(radius))


def published_paste_image_back(
    background: Image.Image, new: Image.Image, box: tuple[int, int, int, int], radius: float = 50
) -> Image.Image:
    """Paste `new` into the *scaled* whole picture, blended along the crop's rectangle."""
    pasted = background.copy()
    pasted.paste(new, box[:2])
    return Image.composite(pasted, background, published_feather(background.size, box, radius))


def published_resize_and_padding(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Letterbox on white: the largest picture of the same aspect (floor) inside `size`, centred."""
    width, height = image.size
    target_w, target_h = size
    if width * target_h < height * target_w:
        new = (width * target_h // height, target_h)
    else:
        new = (target_w, height * target_w // width)
    canvas = Image.new("RGB", size, (255, 255, 255))
    canvas.paste(image.resize(new, Image.Resampling.LANCZOS), ((target_w - new[0]) // 2, (target_h - new[1]) // 2))
    return canvas


def published_crop_to_16_box(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Centre crop to multiples of 16, without scaling."""
    width, height = size[0] // 16 * 16, size[1] // 16 * 16
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def published_ratio_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred box with the aspect of `target` (integer floor)."""
    width, height = size
    if width * target[1] < height * target[0]:
        new = (width, width * target[1] // target[0])
    else:
        new = (height * target[0] // target[1], height)
    left, top = (width - new[0]) // 2, (height - new[1]) // 2
    return left, top, left + new[0], top + new[1]


def published_resize_and_crop(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Centre crop to the aspect of `size` and LANCZOS to it; without a size, centre crop to multiples of 16."""
    if size is None:
        return image.crop(published_crop_to_16_box(image.size))
    return image.crop(published_ratio_box(image.size, size)).resize(size, Image.Resampling.LANCZOS)
