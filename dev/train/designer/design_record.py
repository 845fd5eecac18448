"""One captioned picture of a design data set, and what is said and shown of it at each noise level: C(t) and M(t)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ....models.hierafashdiff.schedules import CONCEPT_ITEMS, PROMPT_BORDERS, pose_shown

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
NAMED = 3  # entries that an error names; the rest is counted


@dataclass(frozen=True)
class Design:
    """concept: the items said at every level; attributes: what joins at each border, in order; caption: as written.

    pose, sketch, fabric: pictures that the data set has beside this one, or None. Every file named here exists.
    """

    picture: Path
    concept: tuple[str, ...]
    attributes: tuple[str, ...]
    caption: str
    pose: Path | None = None
    sketch: Path | None = None
    fabric: Path | None = None

    def prompt_at(self, t: int) -> str:
        """C(t), t in 0..999: the concept, then one attribute more below each published border; below the last one the
        caption.

        For a caption of one line this is the published rule (`models/hierafashdiff/schedules.py`, prompt_at);
        attributes on lines of their own keep their commas and their places.
        """
        for index, border in enumerate(PROMPT_BORDERS):
            if t >= border:
                return ",".join([*self.concept, *self.attributes[:index]])
        return self.caption


def pose_weight(t: int, rule: str = "published") -> float:
    """M(t), t in 0..999: 1 where the ControlNet sees the pose picture, 0 where a black one (it still runs).

    rule: "published" (the pose at every t) or "disabled rule" (black from t = 950 on; commented out in the release).
    """
    return float(pose_shown(t, rule))


def split_caption(text: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """(concept items, attributes, caption). One line is cut at its commas, five items to the concept, as published.

    Several lines: the first is the concept, whatever its commas; each further one is an attribute and keeps its commas.
    """
    lines = [line.strip().rstrip(",") for line in text.strip().splitlines() if line.strip()]
    if len(lines) > 1:
        return (lines[0],), tuple(lines[1:]), ", ".join(lines)
    items = tuple(item.strip() for item in text.strip("\r\n").split(","))
    return items[:CONCEPT_ITEMS], items[CONCEPT_ITEMS:], text.strip("\r\n")


def inside(folder: Path, name: str) -> Path:
    """A file of the data set. Raises ValueError for a name that leads out of the folder."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name} leads out of the data set's folder; paths start at that folder")
    return folder / path


def read_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """uint8 [3,H,W] of size (width, height): the picture's centre in these proportions; clear parts turn white.

    Raises ValueError naming a file that is missing or damaged; nothing is ever put in its place.
    """
    try:
        with Image.open(path) as file:
            clear = "A" in file.getbands() or "transparency" in file.info
            picture = file.convert("RGBA" if clear else "RGB")
    except FileNotFoundError as problem:
        raise ValueError(f"{path} is missing; the data set names it.") from problem
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise ValueError(f"{path} is no picture that can be read ({problem}); replace it or take it out.") from problem
    if clear:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    scale = max(size[0] / picture.width, size[1] / picture.height)
    width, height = size[0] / scale, size[1] / scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    cut = picture.resize(size, Image.LANCZOS, box=(left, top, left + width, top + height))
    return np.asarray(cut).transpose(2, 0, 1)


def check_picture(path: Path) -> None:
    """Raise ValueError for a file that does not begin as a picture (the rest of it is read when it is trained on)."""
    try:
        with Image.open(path):
            pass
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise ValueError(f"{path.name} is no picture that can be read") from problem


def raise_for(problems: list[str], entries: int, source: str) -> None:
    """Raise one ValueError that names the first broken entries and counts the rest."""
    if problems:
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ValueError(
            f"{len(problems)} of {entries} entries of {source} cannot be used: {'; '.join(problems[:NAMED])}{more}. "
            "Bring the files or take the entries out."
        )
