"""Garments for the wardrobe recipe: drawn pairs that differ in one or two attributes, flat or worn, on any ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ....croquis.colours import COLOURS, colour_name, luminance
from ....croquis.figure import random_figure
from ....croquis.garment import GarmentSpec, random_garment
from ....models.studio.wardrobe.wardrobe_attributes import KINDS, applies, numbered
from ....models.studio.wardrobe.wardrobe_picture import MARGIN, SIDE, framed, square

TRAIN_SEEDS = 6_000_000  # held-out garments have smaller seeds
CALIBRATION_SEEDS = 6_900_000  # of the training range, but never trained on
SHARES = {"upper": 0.42, "lower": 0.22, "overall": 0.24, "shoe": 0.07, "bag": 0.05}  # of the garments drawn
CHANGES = (
    "colour",
    "second colour",
    "pattern",
    "motif",
    "fit",
    "length",
    "sleeve length",
    "sleeve type",
    "collar",
    "hem",
)
_FIELDS = {"sleeve length": "sleeve_length", "sleeve type": "sleeve_type"}
VIEWS = ("flat", "flat on a ground", "cut from a figure", "worn")
VIEW_SHARES = (0.66, 0.14, 0.12, 0.08)


def draw_garment(rng: np.random.Generator) -> GarmentSpec:
    """One garment of a category drawn with SHARES."""
    return random_garment(rng, tuple(SHARES)[int(rng.choice(len(SHARES), p=tuple(SHARES.values())))])


def said_of(garment: GarmentSpec) -> dict[str, str]:
    """The garment's attributes by kind, with colours by their names."""
    said = {"type": garment.kind, "colour": colour_name(garment.colours[0]),
            "second colour": colour_name(garment.colours[1]),
            "pattern": garment.pattern, "motif": garment.motif, "fit": garment.fit, "length": garment.length,
            "sleeve length": garment.sleeve_length, "sleeve type": garment.sleeve_type, "collar": garment.collar,
            "hem": garment.hem}  # fmt: skip
    return {kind: value for kind, value in said.items() if applies(kind, said)}


def changed(garment: GarmentSpec, rng: np.random.Generator, kind: str | None = None) -> tuple[GarmentSpec, str] | None:
    """The garment with one attribute that it has changed to another plausible value, and the kind that changed; None
    when the kind leaves nothing to change. Without a kind one is drawn."""
    said = said_of(garment)
    kinds = [k for k in CHANGES if k in said and not (k == "pattern" and garment.category in ("shoe", "bag"))]
    if kind is None:
        kind = str(rng.choice(kinds))
    if kind not in kinds:
        return None
    if kind in ("colour", "second colour"):
        return _recoloured(garment, rng, 0 if kind == "colour" else 1), kind
    field = _FIELDS.get(kind, kind)
    for _ in range(30):  # a plausible value of this kind of garment: as another random one has it
        value = getattr(random_garment(rng, garment.category, garment.kind), field)
        if value != getattr(garment, field):
            made = garment.with_pattern(value) if kind == "pattern" else replace(garment, **{field: value})
            return made, kind
    return None


def _recoloured(garment: GarmentSpec, rng: np.random.Generator, place: int) -> GarmentSpec:
    other = garment.colours[1 - place]
    plain = garment.pattern == "plain"
    own = colour_name(garment.colours[place])
    fits = [name for name, c in COLOURS.items() if name != own and (plain or abs(luminance(c) - luminance(other)) > 62)]
    colour = COLOURS[str(rng.choice(fits))]
    shifted = tuple(int(min(250, max(24, v + d))) for v, d in zip(colour, rng.integers(-9, 10, 3), strict=True))
    colours = list(garment.colours)
    colours[place] = shifted
    return replace(garment, colours=tuple(colours))


def partner(garment: GarmentSpec, rng: np.random.Generator) -> GarmentSpec:
    """The garment with one attribute changed, in one of five cases two."""
    made = garment
    for _ in range(2 if rng.random() < 0.2 else 1):
        for _ in range(8):
            step = changed(made, rng)
            if step is not None and said_of(step[0]) != said_of(garment):
                made = step[0]
                break
    return made


def picture_of(garment: GarmentSpec, rng: np.random.Generator, view: str | None = None) -> np.ndarray:
    """uint8 [SIDE,SIDE,3] as the network sees it. view: one of VIEWS, or drawn with VIEW_SHARES."""
    view = view or VIEWS[int(rng.choice(len(VIEWS), p=VIEW_SHARES))]
    if view.startswith("flat"):
        return framed(flat_picture(garment, rng if view != "flat" else None))
    picture, mask = worn_picture(garment, rng)
    if view == "cut from a figure":
        paper = np.array((255, 255, 255) if rng.random() < 0.5 else rng.integers(120, 256, 3), np.uint8)
        return framed(np.where(mask[..., None], picture, paper).astype(np.uint8))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    room = rng.integers(0, 9, 4)
    box = (max(0, columns[0] - room[0]), max(0, rows[0] - room[1]), columns[-1] + 1 + room[2], rows[-1] + 1 + room[3])
    box = tuple(int(v) for v in box)
    paper = tuple(int(v) for v in np.median(picture[:, :3].reshape(-1, 3), axis=0))
    return square(Image.fromarray(picture), box, paper, MARGIN)


def flat_picture(
    garment: GarmentSpec, ground: np.random.Generator | None = None, width: int = 192, height: int = 256
) -> np.ndarray:
    """The flat-lay uint8 [H,W,3] on white, or on a ground drawn by `ground`: paper, dark cloth, any colour, faintly
    uneven.
    """
    from ....croquis import render

    spec = replace(random_figure(0, ()), garments=(garment,))
    drawn = render(spec, width, height, ("flat",) if ground is None else ("flat", "flat_mask"))
    if ground is None:
        return drawn.flats[0]
    colour = ground.integers(*((200, 256), (20, 90), (40, 256))[int(ground.integers(3))], 3).astype(np.float32)
    slope = np.linspace(-1, 1, height)[:, None, None] * float(ground.uniform(0, 6))
    paper = np.broadcast_to(np.clip(colour + slope, 0, 255), (height, width, 3))
    share = drawn.flat_masks[0][..., None].astype(np.float32) / 255
    return (drawn.flats[0] * share + paper * (1 - share)).round().astype(np.uint8)


def worn_picture(garment: GarmentSpec, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(the dressed figure uint8 [H,W,3], where the garment shows bool [H,W]): what changes with the garment's
    colours.
    """
    from ....croquis import render

    figure = random_figure(int(rng.integers(2**31)), ())
    first = render(replace(figure, garments=(garment,)), want=("person",)).person
    inverse = tuple(tuple((v + 128) % 256 for v in colour) for colour in garment.colours)
    second = render(replace(figure, garments=(replace(garment, colours=inverse),)), want=("person",)).person
    mask = np.abs(first.astype(np.int16) - second).max(2) > 8
    return (first, mask) if mask.sum() > 60 else (flat := flat_picture(garment), (flat < 250).any(2))


@dataclass
class Pool:
    """pictures uint8 [N,2,SIDE,SIDE,3] of N pairs; numbers int8 [N,2,len(KINDS)], -1 = the garment has none."""

    pictures: torch.Tensor
    numbers: torch.Tensor


def draw_pair(seed: int, view: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(pictures [2,SIDE,SIDE,3], numbers [2,len(KINDS)]) of the seed's garment and its partner."""
    rng = np.random.Generator(np.random.PCG64([int(seed), 60]))
    pair = [draw_garment(rng)]
    pair.append(partner(pair[0], rng))
    pictures = np.stack([picture_of(garment, rng, view) for garment in pair])
    return pictures, np.array([numbered(said_of(garment)) for garment in pair], np.int8)


def draw_row(pool: Pool, row: int, first_seed: int, view: str | None = None) -> None:
    """Draws the pair of a row into the pool. A drawn row is never all zeros: plain has no second colour (-1)."""
    pictures, numbers = draw_pair(first_seed + row, view)
    pool.pictures[row], pool.numbers[row] = torch.from_numpy(pictures), torch.from_numpy(numbers)


def pool_of_garments(
    count: int, folder: Path, first_seed: int = TRAIN_SEEDS, drawn: int | None = None, view: str | None = None
) -> Pool:
    """The pool of a range of seeds: two files that are mapped, not read; a stopped drawing goes on. drawn: so many of
    the rows are drawn now, all without it; rows of zeros are not drawn yet. view: one of VIEWS, or drawn ones."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"pool-{first_seed}-{count}" + (f"-{view}" if view else "")
    paths = folder / f"{name}.npy", folder / f"{name}-numbers.npy"
    shapes = (count, 2, SIDE, SIDE, 3), (count, 2, len(KINDS))
    mode = "r+" if all(path.exists() for path in paths) else "w+"
    maps = [np.lib.format.open_memmap(path, mode, dtype, shape)
            for path, dtype, shape in zip(paths, (np.uint8, np.int8), shapes, strict=True)]  # fmt: skip
    pool = Pool(*(torch.from_numpy(m) for m in maps))
    for row in range(count if drawn is None else min(drawn, count)):
        if not maps[1][row].any():
            draw_row(pool, row, first_seed, view)
            if row % 250 == 0:
                print(f"\rgarments {row}/{count}", end="", flush=True)
    return pool
