"""A shape on the canvas (outline, fill or shaded mesh with fabric, strokes, ink) and the ways to draw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import starmap

import numpy as np
import skia

from .fabric import solid

INK_WIDTH = 1.5
SHADING_STROKE = 2.1  # wider strokes shade, narrower ones are lines


@dataclass
class Shape:
    """Points are in design units of the picture (already posed)."""

    outline: np.ndarray
    colour: tuple
    label: str = ""
    ink: tuple | None = None
    strokes: list = field(default_factory=list)  # (points, (r, g, b, a), width)
    positions: np.ndarray | None = None  # (rows * columns, 2)
    grid: tuple[int, int] = (0, 0)
    shade: np.ndarray | None = None
    texture: np.ndarray | None = None
    shader: skia.Shader | None = None
    canonical: np.ndarray | None = None  # where each mesh point lies in the flat-lay
    owner: int = -1
    side: int = 0  # -1 image left, 1 image right
    frame: str = ""  # torso, arm or leg, where the mesh has `frame_points`
    frame_points: np.ndarray | None = None

    @cached_property
    def path(self) -> skia.Path:
        return polygon(self.outline)

    ink_width: float = INK_WIDTH
    ink_lines: list | None = None  # open lines to ink instead of the whole outline


@cache
def triangles(rows: int, columns: int) -> list[int]:
    out = []
    for i in range(rows - 1):
        for j in range(columns - 1):
            a = i * columns + j
            out += [a, a + 1, a + columns, a + 1, a + columns + 1, a + columns]
    return out


def points(array: np.ndarray) -> list[skia.Point]:
    return list(starmap(skia.Point, array.tolist()))


def line(array: np.ndarray) -> skia.Path:
    """An open line; twice as fast as `Path.Polygon`, which wants Point objects."""
    rest = iter(array.tolist())
    path = skia.Path()
    path.moveTo(*next(rest))
    extend = path.lineTo
    for x, y in rest:
        extend(x, y)
    return path


def polygon(array: np.ndarray) -> skia.Path:
    path = line(array)
    path.close()
    return path


def shaded(colour: tuple, shade: np.ndarray) -> list[int]:
    """Vertex colours: shadows lean to a cool violet, as with washed ink."""
    s = shade.ravel()
    r = np.clip(colour[0] * s, 0, 255).astype(np.int64)
    g = np.clip(colour[1] * (s - 0.06 * (1 - s)), 0, 255).astype(np.int64)
    b = np.clip(colour[2] * (1 - 0.82 * (1 - s)), 0, 255).astype(np.int64)
    return ((255 << 24) | (r << 16) | (g << 8) | b).tolist()


@lru_cache(maxsize=4096)
def stroke_paint(colour: tuple, width: float) -> skia.Paint:
    alpha = colour[3] if len(colour) > 3 else 255
    return skia.Paint(
        AntiAlias=True,
        Style=skia.Paint.kStroke_Style,
        StrokeWidth=width,
        Color=solid(colour[:3], alpha),
        StrokeJoin=skia.Paint.kRound_Join,
        StrokeCap=skia.Paint.kRound_Cap,
    )


def draw(canvas: skia.Canvas, shape: Shape) -> None:
    """The shape in colour. Ink lies under the fill and a little to the lower right: thicker on the shadow side."""
    path = shape.path
    if shape.ink is not None:
        canvas.save()
        canvas.translate(0.28, 0.22)
        pen = stroke_paint(shape.ink, shape.ink_width)
        for inked in [path] if shape.ink_lines is None else map(line, shape.ink_lines):
            canvas.drawPath(inked, pen)
        canvas.restore()
    if shape.positions is None and not shape.strokes:
        canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=solid(shape.colour)))
        return
    canvas.save()
    canvas.clipPath(path, skia.ClipOp.kIntersect, True)
    if shape.positions is None or shape.shade is None:
        canvas.drawPaint(skia.Paint(Color=solid(shape.colour)))
    else:
        plain = shape.shader is None
        colours = shaded(shape.colour if plain else (255, 255, 255), shape.shade)
        vertices = skia.Vertices(
            skia.Vertices.kTriangles_VertexMode,
            points(shape.positions),
            None if plain or shape.texture is None else points(shape.texture),
            colours,
            triangles(*shape.grid),
        )
        paint = skia.Paint() if plain else skia.Paint(Shader=shape.shader)
        canvas.drawVertices(vertices, paint, skia.BlendMode.kDst if plain else skia.BlendMode.kModulate)
    for pts, colour, width in shape.strokes:
        canvas.drawPath(line(pts), stroke_paint(colour, width))
    canvas.restore()


def draw_solid(canvas: skia.Canvas, shape: Shape, colour: int, antialias: bool = False) -> None:
    canvas.drawPath(shape.path, skia.Paint(AntiAlias=antialias, Color=colour))


def draw_coordinates(canvas: skia.Canvas, shape: Shape, shader: skia.Shader) -> None:
    """The mesh read from a picture whose colour at (x, y) says x, y; no anti-aliasing."""
    assert shape.positions is not None and shape.canonical is not None  # a garment's shape is a mesh
    canvas.save()
    canvas.clipPath(shape.path, skia.ClipOp.kIntersect, False)
    vertices = skia.Vertices(
        skia.Vertices.kTriangles_VertexMode,
        points(shape.positions),
        points(shape.canonical),
        None,
        triangles(*shape.grid),
    )
    canvas.drawVertices(vertices, skia.Paint(Shader=shader), skia.BlendMode.kDst)
    canvas.restore()


def draw_sketch(canvas: skia.Canvas, shape: Shape) -> None:
    """The shape's lines alone, dark on white: its ink and its sewing lines, without colour, shading or fabric."""
    path = shape.path
    pen = stroke_paint((28, 28, 32), 1.25)
    canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=0xFFFFFFFF))
    for inked in [path] if shape.ink_lines is None else map(line, shape.ink_lines):
        if shape.ink is not None:
            canvas.drawPath(inked, pen)
    canvas.save()
    canvas.clipPath(path, skia.ClipOp.kIntersect, True)
    for pts, _, width in shape.strokes:
        if width < SHADING_STROKE:
            canvas.drawPath(line(pts), stroke_paint((28, 28, 32, 215), 0.8 * width))
    canvas.restore()
