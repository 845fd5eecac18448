"""A sheet of what Detect Body (photo backend) and the mask nodes make of photographs: a row for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ...craft.body import labels
from ...craft.body.agnostic_mask import agnostic_mask
from ...craft.body.body_parts import Body, parts_mask
from ...craft.body.part_names import parse_parts
from ...craft.body.pose_drawing import draw_pose
from ...craft.picture.contact_sheet import contact_sheet
from ...craft.whole_files import save_picture

HEIGHT = 360
MASKS = ("sleeves", "collar + neck", "hair + face")
TITLES = ("photograph", "joints", "parts", "garments (rules)", *MASKS, "try-on mask, top")


def astronaut() -> np.ndarray:
    """NASA's portrait of Eileen Collins (public domain), from scikit-image's own files. Raises ValueError
    without it.
    """
    try:
        from skimage import data
    except ImportError:
        raise ValueError("The photograph comes with scikit-image; install it (`pip install scikit-image`).") from None
    return data.astronaut()


def row(picture: np.ndarray, backend) -> list[np.ndarray]:
    """The pictures of one row, uint8 [HEIGHT,W,3]. Raises ValueError when nobody is found."""
    scale = HEIGHT / picture.shape[0]
    picture = np.asarray(
        Image.fromarray(picture).resize((round(picture.shape[1] * scale), HEIGHT), Image.Resampling.LANCZOS)
    )
    found = backend(picture)
    if not len(found.people):
        raise ValueError("Nobody was found in the photograph.")
    height, width = picture.shape[:2]
    grey = (picture.mean(2, keepdims=True) * 0.6 + 40).astype(np.uint8).repeat(3, 2)
    skeleton = draw_pose(found.people, width, height, "body")
    joints = np.where(skeleton.any(2, keepdims=True), skeleton, grey)
    body = Body(found.people[0], width, height, found.parts, found.garments)
    masks = [parts_mask(body, parse_parts(text)) for text in MASKS]
    masks.append(agnostic_mask(body, ("upper",)))
    garments = found.parts if found.garments is None else found.garments
    return [picture, joints, _over(grey, found.parts), _over(grey, garments), *(_red(picture, mask) for mask in masks)]


def write_sheet(pictures: list[np.ndarray], backend, path: Path) -> None:
    rows = [row(picture, backend) for picture in pictures]
    width = max(cell.shape[1] for cells in rows for cell in cells)
    cells = [np.pad(c, ((0, 0), (0, width - c.shape[1]), (0, 0)), constant_values=255) for cells in rows for c in cells]
    sheet = contact_sheet(cells, list(TITLES) + [""] * (len(cells) - len(TITLES)), columns=len(TITLES))
    save_picture(path, Image.fromarray(sheet).convert("RGB"), quality=88)


def _over(grey: np.ndarray, found: np.ndarray) -> np.ndarray:
    coloured = labels.colour(found)
    return np.where((found > 0)[..., None], (0.75 * coloured + 0.25 * grey).astype(np.uint8), grey)


def _red(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    red = (0.45 * picture + 0.55 * np.array([230, 40, 60])).astype(np.uint8)
    return np.where(mask[..., None], red, picture)
