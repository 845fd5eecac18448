"""A sheet of the design bench: asked figures, what every form drew, and beside each picture what the
classifier read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...craft.whole_files import save_picture
from . import design_measures

LINE, GAP, SIDE = 15, 6, 160
RIGHT, WRONG, HEADING = (40, 110, 60), (190, 30, 40), (30, 30, 40)
SHORT = {"sleeve length": "sleeves", "sleeve type": "type", "top colour": "top", "bottom colour": "bottom",
         "top pattern": "top", "bottom pattern": "bottom"}  # fmt: skip
HEADS = [head for heads in design_measures.COLUMNS.values() for head in heads]


def answers(shown: dict[str, str], asked: dict[str, str]) -> list[tuple[str, bool]]:
    """Lines of text, and whether each is right: what was read, and after it what was asked where that differs."""
    lines = []
    for head in HEADS:
        right = design_measures.right(shown, asked, head)
        if right is not None:
            said = f"{SHORT.get(head, head)}: {shown[head]}"
            lines.append((said if right else f"{said} ({asked[head]})", right))
    return lines


def sheet(path: Path, rows: dict[str, Tensor], shown: dict[str, list[dict]], asked: list[dict]) -> None:
    """Write a sheet: one line a name of `rows`, pictures [N,3,H,W] in 0..1, each with its answers at its right side."""
    count = len(asked)
    height, width = next(iter(rows.values())).shape[-2:]
    board = Image.new("RGB", (count * (width + SIDE), len(rows) * (height + LINE + GAP)), "white")
    draw = ImageDraw.Draw(board)
    draw.fontmode = "1"  # crisp at this size
    for line, (name, pictures) in enumerate(rows.items()):
        top = line * (height + LINE + GAP)
        draw.text((2, top + 1), name, fill=HEADING)
        for column, picture in enumerate(pictures[:count]):
            left = column * (width + SIDE)
            pixels = (picture.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            board.paste(Image.fromarray(pixels), (left, top + LINE))
            for number, (text, right) in enumerate(answers(shown[name][column], asked[column])):
                draw.text((left + width + 3, top + LINE + 4 + number * LINE), text, fill=RIGHT if right else WRONG)
    save_picture(path, board)


def first_of_each(pictures: Tensor, rows: np.ndarray, figures: Sequence[int]) -> Tensor:
    """The first picture of each of these figures; white where there is none. rows: of which figure each picture is."""
    first = {int(figure): picture for figure, picture in reversed(list(zip(rows, pictures, strict=True)))}
    return torch.stack([first.get(figure, torch.ones_like(pictures[0])) for figure in figures])
