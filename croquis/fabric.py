"""Fabrics: pattern tiles drawn as repeating (or, for prints, placed) shaders."""

from __future__ import annotations

import math

import numpy as np
import skia

from .colours import PATTERNS, Colour

__all__ = ["PATTERNS", "fabric_shader", "motif_path", "solid"]
PRINT_BOX = (56.0, 40.0, 136.0, 180.0)  # the part of the canonical figure that a print's picture covers


def solid(colour: Colour, alpha: int = 255) -> int:
    return skia.Color(int(colour[0]), int(colour[1]), int(colour[2]), alpha)


def _paint(colour: Colour, alpha: int = 255) -> skia.Paint:
    return skia.Paint(AntiAlias=True, Color=solid(colour, alpha))


def fabric_shader(
    pattern: str,
    colours: tuple[Colour, ...],
    period: float,
    angle: float,
    motif: str,
    scale: float,
    places: tuple = ((96.0, 75.0),),
) -> skia.Shader | None:
    """Shader in design units of the canonical figure (None for plain): the same everywhere a piece is drawn."""
    if pattern == "plain":
        return None
    if pattern == "print":
        return _print_shader(colours, 0.42 * period, motif, scale, places)
    cells = max(8, round(period * scale))
    pixels = np.empty((cells, cells, 4), np.uint8)
    pixels[:] = (*colours[0], 255)
    canvas = skia.Surface(pixels).getCanvas()
    canvas.scale(cells, cells)
    _TILES[pattern](canvas, colours)
    matrix = skia.Matrix()
    matrix.setRotate(angle)
    matrix.preScale(period / cells, period / cells)
    matrix.postTranslate(96.0 - (0.5 if pattern != "stripes" else 0.25) * period, 60.0)
    return skia.Image.fromarray(pixels).makeShader(
        skia.TileMode.kRepeat, skia.TileMode.kRepeat, skia.SamplingOptions(skia.FilterMode.kLinear), matrix
    )


def _stripes(canvas: skia.Canvas, colours: tuple) -> None:
    canvas.drawRect(skia.Rect(0, 0, 0.5, 1), _paint(colours[1]))


def _checks(canvas: skia.Canvas, colours: tuple) -> None:
    band = _paint(colours[1], 140)
    canvas.drawRect(skia.Rect(0.25, 0, 0.75, 1), band)
    canvas.drawRect(skia.Rect(0, 0.25, 1, 0.75), band)


def _dots(canvas: skia.Canvas, colours: tuple) -> None:
    dot = _paint(colours[1])
    for x, y in ((0.5, 0.25), (0.0, 0.75), (1.0, 0.75)):
        canvas.drawCircle(x, y, 0.19, dot)


def _floral(canvas: skia.Canvas, colours: tuple) -> None:
    leaf, petal, heart = _paint(colours[2], 200), _paint(colours[1]), _paint(colours[2])
    for turn in (20, 200):
        canvas.save()
        canvas.translate(0.5, 0.5)
        canvas.rotate(turn)
        canvas.drawOval(skia.Rect(0.30, -0.055, 0.50, 0.055), leaf)
        canvas.restore()
    for k in range(5):
        canvas.save()
        canvas.translate(0.5, 0.5)
        canvas.rotate(72 * k - 90)
        canvas.drawOval(skia.Rect(0.05, -0.125, 0.33, 0.125), petal)
        canvas.restore()
    canvas.drawCircle(0.5, 0.5, 0.085, heart)
    for x in (0, 1):
        for y in (0, 1):
            canvas.drawCircle(x, y, 0.07, petal)


_TILES = {"stripes": _stripes, "checks": _checks, "dots": _dots, "floral": _floral}


def motif_path(motif: str) -> skia.Path:
    """A bold motif in the unit circle."""
    path = skia.Path()
    if motif in ("star", "sun"):
        points, inner = (5, 0.42) if motif == "star" else (12, 0.72)
        for k in range(2 * points):
            r, a = (1.0 if k % 2 == 0 else inner), math.pi * (k / points - 0.5)
            (path.lineTo if k else path.moveTo)(r * math.cos(a), r * math.sin(a))
    elif motif == "heart":
        path.moveTo(0, 0.95)
        path.cubicTo(-1.5, 0.0, -0.95, -1.15, 0, -0.45)
        path.cubicTo(0.95, -1.15, 1.5, 0.0, 0, 0.95)
    elif motif == "moon":
        path.moveTo(0.35, -0.95)
        path.cubicTo(-1.2, -0.9, -1.2, 0.9, 0.35, 0.95)
        path.cubicTo(-0.35, 0.5, -0.35, -0.5, 0.35, -0.95)
    elif motif == "bolt":
        path.addPoly(
            [skia.Point(*p) for p in ((0.25, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.25, 1), (0.6, -0.2), (0.05, -0.2))],
            True,
        )
    else:
        path.moveTo(0, -1)
        path.cubicTo(0.95, -0.4, 0.8, 0.5, 0, 1)
        path.cubicTo(-0.8, 0.5, -0.95, -0.4, 0, -1)
    path.close()
    return path


def _print_shader(colours: tuple, r: float, motif: str, scale: float, places: tuple) -> skia.Shader:
    """One picture over the canonical figure with a motif at each place; the ground colour everywhere else."""
    x0, y0, x1, y1 = PRINT_BOX
    pixels = np.empty((round((y1 - y0) * scale), round((x1 - x0) * scale), 4), np.uint8)
    pixels[:] = (*colours[0], 255)
    canvas = skia.Surface(pixels).getCanvas()
    canvas.scale(scale, scale)
    canvas.translate(-x0, -y0)
    path = motif_path(motif)
    for x, y in places:
        canvas.save()
        canvas.translate(x, y)
        canvas.scale(r, r)
        canvas.drawPath(path, _paint(colours[1]))
        if motif == "leaf":
            canvas.drawRect(skia.Rect(-0.06, -0.75, 0.06, 0.95), _paint(colours[0]))
        elif motif in ("star", "heart", "sun"):
            canvas.scale(0.45, 0.45)
            canvas.drawPath(path, _paint(colours[2]))
        canvas.restore()
    matrix = skia.Matrix()
    matrix.setScale(1 / scale, 1 / scale)
    matrix.postTranslate(x0, y0)
    return skia.Image.fromarray(pixels).makeShader(
        skia.TileMode.kClamp, skia.TileMode.kClamp, skia.SamplingOptions(skia.FilterMode.kLinear), matrix
    )
