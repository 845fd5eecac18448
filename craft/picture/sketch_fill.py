"""Filling a line drawing of a garment with cloth: its inside is what the paper outside does not reach."""

from __future__ import annotations

import numpy as np

LINE = 0.35  # darkness from which a pixel is a line
CLOSED = (
    1,
    2,
    4,
    7,
)  # gaps up to twice so many pixels are closed, the fewest that do (more on drawings above 256 pixels)
ENCLOSED = 0.3  # the filled drawing covers at least this share of its own box


def inside(sketch: np.ndarray) -> np.ndarray:
    """Dark lines on light, float [H,W,3] in 0..1 -> bool [H,W]: the drawing with everything that its outline encloses.
    Raises ValueError when there are no lines, or when they enclose nothing."""
    from scipy import ndimage

    dark = 1.0 - sketch.mean(2)
    lines = dark > LINE
    if lines.sum() < 20:
        raise ValueError("The sketch has no dark lines: draw dark on light, or connect Garment Sketch's first output.")
    rows, columns = np.flatnonzero(lines.any(1)), np.flatnonzero(lines.any(0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    for gap in CLOSED:
        reach = max(1, round(gap * sketch.shape[0] / 256))
        room = 2 * reach + 1
        closed = ndimage.binary_fill_holes(ndimage.binary_dilation(np.pad(lines, room), np.ones((3, 3)), reach))
        filled = ndimage.binary_erosion(closed, np.ones((3, 3)), reach)[room:-room, room:-room] | lines
        if filled.sum() > ENCLOSED * box:
            break
    else:
        raise ValueError(
            "The sketch's outline is not closed, so nothing can be filled: close its gaps, or draw it thicker."
        )
    parts, count = ndimage.label(filled)
    sizes = ndimage.sum_labels(filled, parts, range(1, count + 1))
    return np.isin(parts, 1 + np.flatnonzero(sizes > 0.05 * sizes.max()))


def filled(
    sketch: np.ndarray, cloth: np.ndarray, scale: float = 1.0, lines: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    """(the garment float [H,W,3] on white, bool [H,W] where it is). cloth: float [h,w,3], repeated in mirror images at
    `scale` times its size over the drawing's height / 4; lines: how strongly the drawing's lines show, 0..1."""
    from PIL import Image

    where = inside(sketch)
    height, width = where.shape
    side = max(8, round(height / 4 * scale))
    swatch = Image.fromarray((cloth.clip(0, 1) * 255).round().astype(np.uint8)).resize(
        (side, side), Image.Resampling.LANCZOS
    )
    tile = np.asarray(swatch, np.float32) / 255
    tile = np.concatenate([tile, tile[:, ::-1]], 1)
    tile = np.concatenate([tile, tile[::-1]], 0)
    sheet = np.tile(tile, (height // len(tile) + 1, width // len(tile) + 1, 1))[:height, :width]
    dark = 1.0 - sketch.mean(2, keepdims=True)
    made = np.where(where[..., None], sheet * (1 - lines * dark), 1.0)
    return made.astype(np.float32), where
