"""The part editor's value: small versioned JSON with chosen parts, moved joints and painted strokes, and its
rasteriser.

    {"v":1,"aspect":[3,4],"figure":"front","joints":{"left_wrist":[0.52,0.31]},
     "parts":{"left_sleeve":{"on":true,"mode":"auto"}},
     "strokes":[{"p":"left_sleeve","t":"b","r":0.02,"pts":[[0.4,0.5],[0.42,0.55]]}]}

Coordinates are shares of the picture's width and height, radii shares of its width; the size in pixels comes from the
node. A stroke belongs to one part and brushes (b), erases (e) or fills a polygon (f); strokes apply in order. The mask
is the union of the parts that are on. What this module draws is the truth; the page draws a preview.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ..picture.mask_shapes import capsule
from .body_parts import Body, part_mask
from .keypoints import JOINT_NAMES
from .part_names import PART_NAMES

VERSION = 1
MAX_BYTES, MAX_STROKES, MAX_STROKE_POINTS, MAX_POINTS = 64 * 1024, 512, 2000, 20_000
RADII = (0.001, 0.25)
MODES = ("auto", "painted", "auto+")
TOOLS = ("b", "e", "f")
PART_IDS = tuple(name.replace(" ", "_") for name in (*PART_NAMES, "free"))  # "free": paint that belongs to no part
JOINT_IDS = tuple(name.replace(" ", "_") for name in JOINT_NAMES)
# A standing croquis, front view, as shares of a 3:4 picture: what is edited when no pose is connected.
FIGURES = {
    "front": (
        (0.5, 0.105), (0.5, 0.2), (0.4, 0.215), (0.352, 0.345), (0.325, 0.465), (0.6, 0.215), (0.648, 0.345),
        (0.675, 0.465), (0.452, 0.445), (0.445, 0.67), (0.44, 0.885), (0.548, 0.445), (0.555, 0.67), (0.56, 0.885),
        (0.478, 0.09), (0.522, 0.09), (0.45, 0.1), (0.55, 0.1),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Stroke:
    part: str
    tool: str
    radius: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PartEdits:
    """A checked value. parts: part id -> mode, only those that are on, in the value's order."""

    aspect: tuple[int, int] | None = None
    figure: str = "front"
    joints: dict[str, tuple[float, float, bool]] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    strokes: tuple[Stroke, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts or self.joints or self.strokes)


def read_edits(text: str | dict) -> PartEdits:
    """Check an editor value (JSON text, or the object itself as scripts send it). Empty text is an empty value.

    Raises ValueError with a sentence for anything unfit.
    """
    text = _json_text(text)
    if not text.strip():
        return PartEdits()
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except _NotFinite:
        raise
    except (ValueError, RecursionError) as problem:  # ValueError: also a whole number of more than 4300 digits
        raise ValueError(
            f"The part editor's value is not JSON ({problem}); clear the field, or draw again in the editor."
        ) from None
    if not isinstance(value, dict):
        raise ValueError(
            f'The part editor\'s value is a JSON {type(value).__name__}; expected an object with "v", "parts",'
            ' "strokes".'
        )
    version = value.get("v")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(
            f"The part editor's value has version {_shown(version)}; this pack reads version {VERSION}. Update the"
            " pack, or draw again."
        )
    figure = value.get("figure", "front")
    if not isinstance(figure, str) or figure not in FIGURES:
        raise ValueError(f"The part editor's figure {_shown(figure)} is not known; known: {', '.join(FIGURES)}.")
    return PartEdits(
        _aspect(value.get("aspect")),
        figure,
        _joints(_table(value, "joints")),
        _parts(_table(value, "parts")),
        _strokes(value.get("strokes", [])),
    )


def figure_joints(edits: PartEdits, width: int, height: int) -> np.ndarray:
    """[18,3] joints of the value's figure in pixels: what the parts are drawn from when no pose is connected."""
    shares = np.asarray(FIGURES[edits.figure], np.float64)
    return np.concatenate([shares * (width, height), np.ones((18, 1))], axis=1).astype(np.float32)


def moved_joints(edits: PartEdits, joints: np.ndarray, width: int, height: int) -> np.ndarray:
    """The joints [18,3] with those that were dragged or hidden in the editor."""
    joints = np.array(joints, dtype=np.float32)
    for name, (x, y, shown) in edits.joints.items():
        joints[JOINT_IDS.index(name)] = (x * width, y * height, 1.0) if shown else (0, 0, 0)
    return joints


def edits_mask(edits: PartEdits, body: Body, style: str = "limb capsules", length: float | None = None) -> np.ndarray:
    """bool [H,W]: the union of the value's parts, with their strokes, in the order they were painted."""
    masks = {}
    for part, mode in edits.parts.items():
        automatic = mode != "painted" and part != "free"
        masks[part] = part_mask(body, part.replace("_", " "), style, length) if automatic else body.empty()
    for stroke in edits.strokes:
        if stroke.part in masks:
            drawn = stroke_mask(stroke, body.width, body.height)
            masks[stroke.part] = masks[stroke.part] & ~drawn if stroke.tool == "e" else masks[stroke.part] | drawn
    return np.logical_or.reduce(list(masks.values())) if masks else body.empty()


def stroke_mask(stroke: Stroke, width: int, height: int) -> np.ndarray:
    """bool [H,W] of one stroke: a capsule for each pair of points, or the filled polygon (even-odd)."""
    points = np.asarray(stroke.points, np.float64) * (width, height)
    if stroke.tool == "f":
        return _polygon(points, width, height)
    radius = stroke.radius * width
    mask = np.zeros((height, width), bool)
    for a, b in zip(points, points[1:] if len(points) > 1 else points):
        mask |= capsule(width, height, a, b, radius, radius)
    return mask


def _polygon(points: np.ndarray, width: int, height: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    image = Image.new("1", (width, height))
    if len(points) > 2:
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.asarray(image)


def _json_text(value: str | dict) -> str:
    """The value as text of at most MAX_BYTES. Raises ValueError."""
    try:
        text = json.dumps(value) if isinstance(value, dict) else value
    except (TypeError, ValueError, RecursionError) as problem:
        raise ValueError(f"The part editor's value cannot be written as JSON ({problem}); draw again.") from None
    if not isinstance(text, str):
        raise ValueError(f"The part editor's value is a {type(text).__name__}; expected JSON text or an object.")
    # No character takes less than one byte: a far too long text is not encoded to be measured.
    size = len(text) if len(text) > MAX_BYTES else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise ValueError(f"The part editor's value is {size} bytes long; at most {MAX_BYTES} are allowed.")
    return text


class _NotFinite(ValueError):
    pass


def _no_constant(name: str) -> NoReturn:
    raise _NotFinite(f"The part editor's value holds {name}; every number must be finite.")


def _shown(value: object) -> str:
    """A piece of the value as a sentence shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _table(value: dict, key: str) -> dict:
    table = value.get(key, {})
    if not isinstance(table, dict):
        raise ValueError(f"The part editor's {key!r} is a {type(table).__name__}; expected an object.")
    return table


def _aspect(aspect: Any) -> tuple[int, int] | None:
    if aspect is None:
        return None
    whole = isinstance(aspect, list) and len(aspect) == 2 and all(type(n) is int and 1 <= n <= 64 for n in aspect)
    if not whole:
        raise ValueError(f"The part editor's aspect is {_shown(aspect)}; expected two whole numbers from 1 to 64.")
    return aspect[0], aspect[1]


def _number(number: Any, low: float, high: float, what: str) -> float:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not low <= number <= high:
        raise ValueError(f"The part editor's {what} is {_shown(number)}; expected a number from {low:g} to {high:g}.")
    return float(number)


def _joints(table: dict) -> dict[str, tuple[float, float, bool]]:
    joints = {}
    for name, at in table.items():
        if name not in JOINT_IDS:
            raise ValueError(f"The part editor moves a joint {_shown(name)}; known are {', '.join(JOINT_IDS)}.")
        if not isinstance(at, list) or len(at) not in (2, 3):
            raise ValueError(f"The part editor's joint {name} is {_shown(at)}; expected [x, y] or [x, y, shown].")
        x, y = (_number(n, -1.0, 2.0, f"joint {name}") for n in at[:2])
        joints[name] = (x, y, len(at) == 2 or bool(_number(at[2], 0, 1, f"joint {name}")))
    return joints


def _parts(table: dict) -> dict[str, str]:
    parts = {}
    for name, state in table.items():
        if name not in PART_IDS:
            raise ValueError(f"The part editor chose a part {_shown(name)}; known are {', '.join(PART_IDS)}.")
        mode = state.get("mode", "auto") if isinstance(state, dict) else None
        if mode not in MODES or not isinstance(state.get("on", True), bool):
            raise ValueError(
                f'The part editor\'s part {name} is {_shown(state)}; expected {{"on": true, "mode": one of'
                f" {', '.join(MODES)}}}."
            )
        if state.get("on", True):
            parts[name] = mode
    return parts


def _strokes(items: Any) -> tuple[Stroke, ...]:
    if not isinstance(items, list) or len(items) > MAX_STROKES:
        raise ValueError(
            f"The part editor's strokes must be a list of at most {MAX_STROKES}; found "
            f"{len(items) if isinstance(items, list) else type(items).__name__}."
        )
    strokes = tuple(_stroke(item, index + 1) for index, item in enumerate(items))
    total = sum(len(stroke.points) for stroke in strokes)
    if total > MAX_POINTS:
        raise ValueError(f"The part editor's strokes have {total} points; at most {MAX_POINTS} are allowed.")
    return strokes


def _stroke(item: Any, index: int) -> Stroke:
    if not isinstance(item, dict) or item.get("p") not in PART_IDS or item.get("t") not in TOOLS:
        raise ValueError(f'Stroke {index} of the part editor needs "p" (a part) and "t" (one of {", ".join(TOOLS)}).')
    points = item.get("pts")
    if not isinstance(points, list) or not 1 <= len(points) <= MAX_STROKE_POINTS:
        raise ValueError(f'Stroke {index} of the part editor needs "pts", a list of 1 to {MAX_STROKE_POINTS} points.')
    if not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise ValueError(f"Stroke {index} of the part editor has a point that is not [x, y].")
    where = f"stroke {index}"
    placed = tuple((_number(x, -1.0, 2.0, where), _number(y, -1.0, 2.0, where)) for x, y in points)
    radius = 0.0 if item["t"] == "f" else _number(item.get("r"), *RADII, f"stroke {index} radius")
    return Stroke(item["p"], item["t"], radius, placed)
