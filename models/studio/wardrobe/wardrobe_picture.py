"""How the studio wardrobe network sees a picture: the garment's box on its ground, square, small. The same in
training.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 96  # pixels of the network's square input
MARGIN = 0.04  # empty room round the garment, as a share of its longer side
UNLIKE = 16  # a channel this far from the ground's is garment
PLAIN = 14  # a border that strays further than this (median) is no plain ground
LARGEST = 768  # larger pictures are shrunk before their box is looked for


def framed(picture: np.ndarray) -> np.ndarray:
    """uint8 [H,W,3] of any size -> uint8 [SIDE,SIDE,3]: what differs from the border's colour, with a margin, filled up
    to a square with that colour. A picture without a plain border is taken whole."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"A picture is uint8 [H,W,3], this is {picture.dtype} {list(picture.shape)}.")
    image = Image.fromarray(picture)
    if max(image.size) > LARGEST:
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
        picture = np.asarray(image)
    ground = ground_colour(picture)
    box = (0, 0, image.width, image.height) if ground is None else _box(picture, ground)
    paper = tuple(int(v) for v in (np.median(_border(picture), axis=0) if ground is None else ground))
    return square(image, box, paper, 0.0 if ground is None else MARGIN)


def ground_colour(picture: np.ndarray) -> np.ndarray | None:
    """The border's colour, or None when the border has no common one."""
    border = _border(picture).astype(np.int16)
    ground = np.median(border, axis=0)
    return ground if np.median(np.abs(border - ground).max(1)) <= PLAIN else None


def square(image: Image.Image, box: tuple[int, int, int, int], paper: tuple, margin: float) -> np.ndarray:
    """The box in the middle of a square of the paper's colour, scaled to SIDE."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    side += 2 * round(side * margin)
    sheet = Image.new("RGB", (side, side), paper)
    sheet.paste(image.crop(box), ((side - (right - left)) // 2, (side - (bottom - top)) // 2))
    filtering = Image.Resampling.BOX if side > 2 * SIDE else Image.Resampling.BILINEAR
    return np.asarray(sheet.resize((SIDE, SIDE), filtering))


def _border(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def _box(picture: np.ndarray, ground: np.ndarray) -> tuple[int, int, int, int]:
    unlike = np.abs(picture.astype(np.int16) - ground).max(2) > UNLIKE
    rows, columns = np.flatnonzero(unlike.any(1)), np.flatnonzero(unlike.any(0))
    if len(rows) < 4 or len(columns) < 4:
        return 0, 0, picture.shape[1], picture.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
