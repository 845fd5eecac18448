"""Garments cut into pieces: outlines, shading meshes and sewing lines in the frames of torso, arms, legs and feet.

A piece knows nothing of the pose; `render` carries it onto the person or, with the canonical skeleton, onto the flat-lay.
Torso frame: canonical design units. Limb frames: (t outwards, s along; see `body.limb_warp`).
"""
from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from .body import (ARM_S, ARM_W, CENTRE_X, FOREARM, HIP_JOINT_X, HIP_JOINT_Y, KNEE_Y, LEG_S, LEG_W, SHOULDER_Y, TORSO_W,
                   TORSO_Y, UPPER_ARM, smoothstep)
from .garment import GarmentSpec

TOP_HEM = {"ultra-short": 93.0, "short": 117.0, "knee": 166.0}
SKIRT_HEM = {"ultra-short": 141.0, "short": 156.0, "knee": 176.0, "mid": 197.0, "long": 219.0}
LEG_HEM = {"ultra-short": 0.34, "short": 0.62, "knee": 1.04, "mid": 1.55, "long": 1.95}
SLEEVE_END = {"short": 0.50, "elbow": 0.95, "mid": 1.45, "long": 1.95}
_ELBOW = np.array([0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])     # samples where a limb may bend
FIT_EASE = {"slim": 0.8, "regular": 2.4, "loose": 5.0}


@cache
def _spline(count: int, steps: int) -> np.ndarray:
    """Matrix that takes `count` points to the Catmull-Rom curve through them."""
    p = np.eye(count)
    q = np.concatenate([p[:1] * 2 - p[1:2], p, p[-1:] * 2 - p[-2:-1]])
    u = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (q[i:len(q) - 3 + i, None, :] for i in range(4))
    out = 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u * u + (3 * b - a - 3 * c + d) * u ** 3)
    return np.concatenate([out.reshape(-1, count), p[-1:]])


def curve(points: list, steps: int = 5) -> np.ndarray:
    """Catmull-Rom through the points (ends included): (steps * (len - 1) + 1, 2)."""
    return _spline(len(points), steps) @ np.asarray(points, np.float64)


@dataclass
class Piece:
    frame: str                                   # torso, arm, leg, foot
    side: int                                    # -1, +1; 0 for the torso
    outline: np.ndarray                          # (N,2)
    mesh: np.ndarray                             # (rows, columns, 2)
    shade: np.ndarray                            # (rows, columns), 1 = full light
    lines: list = field(default_factory=list)    # (points (k,2), width, "ink" | "fold" | "light")
    colour: int = 0                              # which of the garment's colours is the ground (trims use the accent)
    patterned: bool = True
    part: str = ""
    ink_lines: list | None = None                # open lines to ink instead of the whole outline


def texture_coordinates(piece: Piece) -> np.ndarray:
    """Where a mesh point reads the fabric (design units): limbs are laid straight down beside the torso."""
    grid = piece.mesh.reshape(-1, 2)
    if piece.frame == "torso":
        return grid
    x0, y0, length = ((62.0, SHOULDER_Y, UPPER_ARM) if piece.frame == "arm" else
                      (HIP_JOINT_X, HIP_JOINT_Y, KNEE_Y - HIP_JOINT_Y))
    return np.stack([CENTRE_X + piece.side * (x0 + grid[:, 0]), y0 + grid[:, 1] * length], axis=1)


def _mirror(points: np.ndarray) -> np.ndarray:
    return np.stack([2 * CENTRE_X - points[::-1, 0], points[::-1, 1]], axis=1)


def _light(u: np.ndarray) -> np.ndarray:
    """Cylinder under light from upper image left; u -1 image left, +1 image right."""
    return 1.0 - 0.27 * smoothstep(0.05, 1.05, u) - 0.10 * smoothstep(0.55, 1.1, -u)


# ---------------------------------------------------------------- torso pieces

def _half_width(spec: GarmentSpec, y: np.ndarray, hem_y: float, flare: float) -> np.ndarray:
    ease = FIT_EASE[spec.fit]
    body = np.interp(y, TORSO_Y, TORSO_W)
    waist = {"slim": 0.6, "regular": 2.6, "loose": 6.0}[spec.fit]
    give = np.interp(y, [60.0, 70.0, 90.0, 114.0], [ease * 0.5, ease, waist, ease])
    out = body + give
    below = y > 114.0
    if below.any():
        start = 18.6 + ease
        out = np.where(below, start + (flare - start) * np.clip((y - 114.0) / max(hem_y - 114.0, 1.0), 0, 1.05), out)
    return out


def neckline(spec: GarmentSpec) -> tuple[np.ndarray, float]:
    """Right half of the front neckline, centre to neck point, and the neck point's x."""
    c = CENTRE_X
    style = spec.collar
    if style == "round":
        return curve([(c, 59.0), (c + 5.4, 57.0), (c + 8.8, 51.6)], 4), 8.8
    if style == "u":
        return curve([(c, 70.0), (c + 6.0, 66.5), (c + 9.0, 58.0), (c + 9.8, 51.9)], 4), 9.8
    if style == "v":
        return np.array([(c, 73.5), (c + 8.8, 51.6)]), 8.8
    if style == "square":
        return np.array([(c, 65.0), (c + 9.6, 65.0), (c + 10.4, 52.2)]), 10.4
    if style == "boat":
        return curve([(c, 56.6), (c + 8.0, 55.4), (c + 14.0, 53.2)], 4), 14.0
    if style == "tailor":
        return np.array([(c, 86.0), (c + 8.0, 51.0)]), 8.0
    if style == "lapel":
        return np.array([(c, 63.0), (c + 7.2, 50.6)]), 7.2
    return curve([(c, 54.8), (c + 4.6, 53.6), (c + 7.4, 50.4)], 4), 7.4       # stand, turtle, closed


def _hem_edge(spec: GarmentSpec, half: float, y: float) -> np.ndarray:
    """The hem from right to left."""
    u = np.linspace(1.0, -1.0, 25)
    drop = 1.2 * (1 - u * u)
    if spec.hem == "curved":
        drop = 7.0 * (1 - np.abs(u) ** 2.2) - 3.5
    elif spec.hem == "wavy":
        drop = 2.6 * np.sin(u * 4.0 * np.pi) + 1.0
    elif spec.hem == "ruffle":
        drop = 1.6 * np.sin(u * 7.0 * np.pi) + 1.0
    elif spec.hem == "pleated":
        drop = 1.8 * (np.abs(((u * 5.0) % 1.0) - 0.5) * 2 - 0.5)
    edge = np.stack([CENTRE_X + u * half, y + drop], axis=1)
    if spec.hem == "slit":
        top = 7.0 if y < 125 else 22.0
        edge = np.concatenate([edge[:5], [[edge[4, 0] - 0.2, y - top], [edge[4, 0] - 2.8, y + 0.9]], edge[6:]])
    return edge


def _torso_mesh(widths: np.ndarray, ys: np.ndarray, columns: int, gores: float = 0.0, pleats: int = 0) -> tuple:
    u = np.linspace(-1.0, 1.0, columns)
    mesh = np.stack([CENTRE_X + u[None, :] * (widths[:, None] + 1.6), np.repeat(ys[:, None], columns, 1)], axis=-1)
    shade = np.repeat(_light(u)[None], len(ys), 0)
    if gores > 0:
        depth = smoothstep(112.0, ys.max(), ys)[:, None] * gores
        wave = np.sin(u * np.pi * (pleats or 3.0) + 0.6)[None]
        shade = shade - depth * np.clip(wave, 0, 1) * 0.6
    return mesh, np.clip(shade, 0.45, 1.0)


def _waist_folds(spec: GarmentSpec, hem_y: float) -> list:
    c, e = CENTRE_X, FIT_EASE[spec.fit]
    lines = [(curve([(c - 13 - e, 86), (c - 8, 88.5), (c - 3.5, 88)], 3), 0.7, "fold"),
             (curve([(c + 13.5 + e, 82), (c + 9, 86), (c + 5, 86.5)], 3), 0.8, "fold"),
             (curve([(c + 16 + e, 70), (c + 12, 73.5), (c + 8.5, 74)], 3), 0.7, "fold"),
             (curve([(c - 16 - e, 70), (c - 12.5, 73), (c - 10, 73.4)], 3), 0.6, "fold")]
    if hem_y > 104:
        lines.append((curve([(c + 9 + e, 96), (c + 11 + e, 104), (c + 11 + e, hem_y - 3)], 3), 0.7, "fold"))
    return lines


def bodice(spec: GarmentSpec, hem_y: float, flare: float, skirted: bool) -> list[Piece]:
    """The torso part of a top, coat or dress (with its skirt), plus collar and trims."""
    neck, neck_x = neckline(spec)
    bare = spec.sleeve_length == "sleeveless"
    ease = FIT_EASE[spec.fit]
    shoulder = (CENTRE_X + 15.0, 54.6) if bare else (CENTRE_X + 18.6, 55.6)
    if spec.kind == "tank":
        shoulder = (CENTRE_X + max(neck_x + 3.6, 13.4), 53.2)
    under = CENTRE_X + 17.2 + ease
    arm_hole = curve([shoulder, (shoulder[0] + (-0.6 if bare else 0.4), 60.5), (under - (2.6 if bare else 1.0), 66.5),
                      (under, 70.5)], 4)
    ys = np.concatenate([np.linspace(72.0, min(hem_y, 113.0), 10),
                         np.linspace(114.0, hem_y, 6)[1:] if hem_y > 116 else np.empty(0)])
    side = np.stack([CENTRE_X + _half_width(spec, ys, hem_y, flare), ys], axis=1)
    half = float(side[-1, 0] - CENTRE_X)
    right = np.concatenate([neck, [shoulder] if spec.kind != "tank" else [(shoulder[0], shoulder[1])], arm_hole[1:], side])
    hem = _hem_edge(spec, half, hem_y)
    outline = np.concatenate([right, hem, _mirror(right)[:-1]])
    ink_lines = None
    if not bare:                      # the sleeves draw the armholes
        top = np.concatenate([neck, [neck[-1] * 0.45 + np.asarray(shoulder) * 0.55]])
        ink_lines = [np.concatenate([_mirror(top), top[1:]]), np.concatenate([arm_hole[-6:], side, hem, _mirror(side), _mirror(arm_hole[-6:])])]
    rows = np.concatenate([[47.0, 56.0, 66.0, 76.0, 86.0, 95.0, 104.0], np.linspace(113.0, hem_y + 6, 6)]) \
        if hem_y > 113 else np.append(np.array([47.0, 56.0, 66.0, 76.0, 86.0]), np.linspace(93.0, hem_y + 8, 3))
    widths = np.maximum(_half_width(spec, rows, hem_y, flare), np.where(rows < 68, 20.5 + ease, 0))
    pleats = 10 if spec.hem == "pleated" else 0
    gores = (0.34 if spec.fit != "slim" or pleats else 0.12) if skirted else 0.0
    mesh, shade = _torso_mesh(widths, rows, 21 if pleats else 9, gores, pleats)
    shade = shade - 0.12 * np.exp(-((rows[:, None] - 73.0) / 5.0) ** 2) * smoothstep(0.2, 0.8, np.linspace(-1, 1, mesh.shape[1]))
    lines = _waist_folds(spec, min(hem_y, 120.0) if skirted else hem_y)
    if skirted:
        lines += _skirt_lines(spec, hem_y, half)
        lines.append((curve([(CENTRE_X - 15.5, 90.5), (CENTRE_X, 92.6), (CENTRE_X + 15.5, 90.5)], 4), 0.8, "ink"))
    lines += _front_lines(spec, neck, hem_y, half)
    front = Piece("torso", 0, outline, mesh, shade, lines, part="bodice", ink_lines=ink_lines)
    back = [] if spec.collar in ("turtle", "stand") else [_back_neck(neck_x)]
    return back + [front] + _collar(spec, neck, neck_x) + _hem_trim(spec, hem_y, half)


def _back_neck(neck_x: float) -> Piece:
    """The inside of the back, seen through the neck opening."""
    c = CENTRE_X
    top = curve([(c - neck_x, 51.4), (c, 53.4), (c + neck_x, 51.4)], 5)
    low = np.array([(c + neck_x, 56.0), (c, 60.0), (c - neck_x, 56.0)])
    mesh, shade = _torso_mesh(np.array([neck_x, neck_x]), np.array([49.0, 62.0]), 3)
    return Piece("torso", 0, np.concatenate([top, low]), mesh, shade * 0.62, [], patterned=False, part="back")


def _front_lines(spec: GarmentSpec, neck: np.ndarray, hem_y: float, half: float) -> list:
    c, lines = CENTRE_X, []
    open_front = spec.collar in ("lapel", "tailor") or spec.kind in ("shirt", "jacket", "coat")
    if open_front and spec.category == "upper":
        top = float(neck[0, 1])
        lines.append((np.array([(c + 0.8, top), (c + 1.2, hem_y + 1)]), 0.9, "ink"))
        for y in np.arange(top + 5, min(hem_y - 4, 118), 9.5):
            lines.append((np.array([(c - 1.2, y), (c - 1.1, y + 0.5)]), 1.7, "button"))
    if spec.kind in ("jacket", "coat"):
        y = min(100.0, hem_y - 9)
        for s in (-1, 1):
            lines.append((np.array([(c + s * 7, y), (c + s * 14.5, y + 1.2)]), 0.9, "ink"))
    if spec.kind == "sweater" or (spec.kind == "tee" and spec.collar in ("round", "v", "u", "boat")):
        rib = neck + np.array([0.0, 2.2]) + np.stack([np.linspace(0, 1.6, len(neck)), np.zeros(len(neck))], axis=1)
        lines.append((np.concatenate([_mirror(rib), rib]), 0.6, "fold"))
    if spec.hem in ("flat", "slit", "drawstring", "flared") and spec.kind != "coat":
        up = 2.4 if spec.hem != "drawstring" else 5.0
        lines.append((np.array([(c - half - 1, hem_y - up), (c, hem_y - up + 1.2), (c + half + 1, hem_y - up)]), 0.5, "fold"))
    if spec.hem == "drawstring":
        for x in np.linspace(-0.85, 0.85, 9):
            lines.append((np.array([(c + x * half, hem_y - 5), (c + x * half, hem_y)]), 0.5, "fold"))
    return lines


def _skirt_lines(spec: GarmentSpec, hem_y: float, half: float) -> list:
    c, lines, n = CENTRE_X, [], {"slim": 2, "regular": 4, "loose": 6}[spec.fit]
    if spec.hem == "pleated":
        n = 9
    for u in np.linspace(-0.78, 0.78, n):
        top = 95.0 if spec.hem == "pleated" else 108.0 + 8.0 * abs(u) + (14.0 if spec.fit == "slim" else 0.0)
        top = min(top, hem_y - 12)
        x0 = c + u * 14.0
        x1 = c + u * half
        lines.append((curve([(x0, top), (x0 + (x1 - x0) * 0.4, top + (hem_y - top) * 0.45), (x1, hem_y + 2)], 4),
                      0.8 if u > 0 else 0.6, "fold"))
    if spec.hem == "ruffle":
        y = hem_y - 9.0
        w = half - (half - 19) * 9.0 / max(hem_y - 100, 12)
        lines.append((np.array([(c - w - 2, y), (c, y + 1.2), (c + w + 2, y)]), 0.8, "ink"))
        for u in np.linspace(-0.9, 0.9, 12):
            lines.append((np.array([(c + u * w, y + 0.8), (c + u * half, hem_y + 1)]), 0.55, "fold"))
    return lines


def _hem_trim(spec: GarmentSpec, hem_y: float, half: float) -> list[Piece]:
    return []


def _collar(spec: GarmentSpec, neck: np.ndarray, neck_x: float) -> list[Piece]:
    c, pieces = CENTRE_X, []
    if spec.collar in ("turtle", "stand"):
        top = 43.5 if spec.collar == "turtle" else 47.0
        right = curve([(c + 6.6, top), (c + 6.9, (top + 51) / 2), (c + 8.6, 51.6)], 3)
        low = curve([(c + 8.6, 51.6), (c + 5, 55.2), (c, 56.4), (c - 5, 55.2), (c - 8.6, 51.6)], 3)
        upper = curve([(c - 6.6, top), (c, top + 1.6), (c + 6.6, top)], 4)
        outline = np.concatenate([upper, right[1:], low[1:], _mirror(right)[1:]])
        mesh, shade = _torso_mesh(np.array([8.2, 8.4, 10.5]), np.array([41.0, 49.0, 60.0]), 5)
        lines = [(upper + [0, 2.6], 0.5, "fold")] if spec.collar == "turtle" else [(np.array([(c + .6, top + 1), (c + .8, 57)]), .8, "ink")]
        pieces.append(Piece("torso", 0, outline, mesh, shade * 0.96, lines, patterned=False, part="collar"))
    elif spec.collar in ("lapel", "tailor", "closed"):
        for s in (-1, 1):
            if spec.collar == "lapel":
                pts = [(7.6, 48.8), (12.2, 53.4), (9.0, 62.5), (0.8, 60.0), (4.2, 55.0)]
            elif spec.collar == "tailor":
                pts = [(7.4, 48.8), (11.4, 53.0), (13.6, 60.0), (10.4, 61.4), (12.8, 64.6), (0.8, 86.5), (4.0, 66.0)]
            else:
                pts = [(7.2, 49.2), (13.6, 54.2), (12.4, 61.0), (6.0, 62.8), (0.5, 58.6), (0.3, 55.0), (4.8, 53.4)]
            out = np.array([(c + s * x, y) for x, y in pts])
            if spec.collar == "closed":
                out = curve([*out, out[0]], 3)
            mesh, shade = _torso_mesh(np.array([15.0, 15.0, 14.0]), np.array([46.0, 60.0, 90.0]), 5)
            pieces.append(Piece("torso", 0, out, mesh, np.clip(shade + 0.02, 0, 1), [], colour=0 if spec.collar != "closed" else 1,
                                patterned=False, part="collar"))
    return pieces


# ---------------------------------------------------------------- limb pieces

def _limb_piece(frame: str, side: int, s: np.ndarray, outer: np.ndarray, inner: np.ndarray, top: list, bottom: list,
                lines: list, part: str) -> Piece:
    """Strip piece from profiles: half-widths outwards and inwards by s; `top` and `bottom` replace the straight ends."""
    out_side = np.stack([outer, s], axis=1)
    in_side = np.stack([-inner, s], axis=1)[::-1]
    outline = np.concatenate([np.asarray(top).reshape(-1, 2), out_side, np.asarray(bottom).reshape(-1, 2), in_side])
    rows = np.concatenate([[s[0] - (0.46 if frame == "arm" else 0.22)], s, [s[-1] + 0.16]])
    o = np.concatenate([outer[:1], outer, outer[-1:]]) + 1.6
    i = np.concatenate([inner[:1], inner, inner[-1:]]) + 1.6
    u = np.linspace(-1.0, 1.0, 6)
    t = np.where(u[None] > 0, u[None] * o[:, None], u[None] * i[:, None])
    mesh = np.stack([t, np.repeat(rows[:, None], len(u), 1)], axis=-1)
    return Piece(frame, side, outline, mesh, np.repeat(_light(u * side)[None], len(rows), 0), lines, part=part)


def sleeve(spec: GarmentSpec, side: int) -> Piece:
    end = SLEEVE_END[spec.sleeve_length]
    ease = FIT_EASE[spec.fit]
    kind = spec.sleeve_type
    s = np.unique(np.concatenate([np.linspace(0.16, end, 9), [end * 0.85], _ELBOW[_ELBOW < end - 0.03]]))
    body = np.interp(s, ARM_S, ARM_W)
    w = body + np.interp(s, [0.0, 0.5, 1.0, 2.0], [0.7, 1.1, 1.2, 1.0]) + ease * np.interp(s, [0.0, 0.4], [0.3, 0.5])
    q = (s - 0.16) / (end - 0.16)
    if kind == "puffed":
        w = w + 5.5 * np.sin(np.pi * np.clip(s / min(end, 0.75), 0, 1)) ** 0.8
    elif kind == "lantern":
        w = w + 6.5 * np.clip(np.sin(np.pi * np.clip((q - 0.3) / 0.7, 0, 1)), 0, None)
    elif kind == "flare":
        w = w + 8.5 * q ** 2.0
    elif kind == "ruffle":
        w = w + 5.0 * smoothstep(0.60, 0.75, q)
    elif kind == "drop-shoulder":
        w = w + 1.4
    tall = {"puffed": -0.24, "ruffle": -0.14, "drop-shoulder": -0.11}.get(kind, -0.115)
    top = curve([(-w[0] * 0.95, s[0]), (-5.6, 0.03), (-4.0, -0.06), (-1.6, tall), (2.4, tall * 0.75), (w[0] * 0.86, 0.03), (w[0], s[0])], 3)[1:-1]
    u = np.linspace(1, -1, 13)
    drop = 0.02 * (1 - u * u)
    if kind == "ruffle":
        drop = 0.045 * np.sin(u * 4.2 * np.pi) + 0.02
    bottom = np.stack([u * w[-1], end + drop], axis=1)[1:-1]
    lines = _sleeve_lines(spec, s, w, end)
    piece = _limb_piece("arm", side, s, w, w, top, bottom, lines, "sleeve")
    crown = 7                          # the seam on the body's side of the crown is a fine line, the rest an outline
    piece.lines.append((np.concatenate([piece.outline[-2:], piece.outline[:crown + 2]]), 1.0, "ink"))
    piece.ink_lines = [piece.outline[crown:-1]]
    return piece


def _sleeve_lines(spec: GarmentSpec, s: np.ndarray, w: np.ndarray, end: float) -> list:
    lines = []
    width_at = lambda x: float(np.interp(x, s, w))  # noqa: E731
    if end > 0.9:
        half = width_at(0.98)
        for to, reach in ((0.80, 0.05), (0.95, 0.35), (1.12, 0.0)):
            if to < end - 0.1:
                lines.append((curve([(-half, 0.98), (-half * 0.45, 0.97 + (to - 0.97) * 0.3), (half * reach, to)], 3), 0.6, "fold"))
    lines.append((curve([(-width_at(0.3), 0.30), (-2.0, 0.22), (1.5, 0.24)], 3), 0.65, "fold"))
    kind = spec.sleeve_type
    if kind in ("puffed", "lantern"):
        for x in (-0.6, -0.2, 0.2, 0.6):
            a, b = end, end - (0.2 if end < 0.8 else 0.3)
            lines.append((curve([(x * width_at(a), a), (x * width_at(b) * 1.2, b)], 3), 0.55, "fold"))
        if kind == "puffed":
            for x in (-0.5, 0.0, 0.5):
                lines.append((np.array([(x * 7, -0.06), (x * 9, 0.14)]), 0.55, "fold"))
    if kind == "ruffle":
        at = 0.16 + 0.64 * (end - 0.16)
        lines.append((np.array([(-width_at(at) - 1, at), (width_at(at) + 1, at)]), 0.8, "ink"))
        for x in (-0.7, -0.3, 0.1, 0.5):
            lines.append((np.array([(x * width_at(at), at), (x * width_at(end), end)]), 0.55, "fold"))
    if kind in ("shirt", "lantern", "puffed") and end > 1.2 or spec.kind in ("sweater",):
        lines.append((np.array([(-width_at(end - .12) - 1, end - 0.12), (width_at(end - .12) + 1, end - 0.12)]), 0.7, "ink"))
    elif kind != "ruffle":
        lines.append((np.array([(-width_at(end) - 1, end - 0.06), (width_at(end) + 1, end - 0.06)]), 0.5, "fold"))
    if kind == "raglan":
        lines.append((curve([(-8.5, 0.32), (-5.5, 0.10), (-4.5, -0.12)], 3), 0.9, "ink"))
    return lines


def trouser_legs(spec: GarmentSpec) -> list[Piece]:
    end = LEG_HEM[spec.length]
    ease = FIT_EASE[spec.fit]
    s = np.unique(np.concatenate([[-0.08], np.linspace(0.02, end, 10), _ELBOW[_ELBOW < end - 0.03]]))
    body = np.interp(s, LEG_S, LEG_W)
    straight = np.maximum(body, np.interp(s, [0, 0.5, 1.0, 2.0], [9.9, 8.4, 7.0, 5.6]))
    w = straight + {"slim": 0.9, "regular": 1.6, "loose": 3.6}[spec.fit] * np.minimum(1.0, 0.6 + 0.25 * s)
    if spec.hem == "flared":
        w = w + 6.5 * np.clip((s - 0.45 * end) / (0.55 * end), 0, 1) ** 1.5
    elif spec.hem == "drawstring":
        w = w + np.where(s < end * 0.9, 1.2, -0.6)
    inner = np.minimum(w, np.interp(s, [0.0, 0.25, 0.5], [HIP_JOINT_X - 0.2, HIP_JOINT_X - 0.4, 30.0]))
    outer = w.copy()
    outer[0], outer[1], outer[2] = 8.6 + ease, 9.2 + ease, max(outer[2], 9.3 + ease * 0.9)
    u = np.linspace(1, -1, 11)
    drop = (0.02 if spec.hem != "curved" else -0.06 * np.abs(u)) * (1 - u * u) if spec.hem != "curved" else -0.07 * u
    bottom = np.stack([np.where(u > 0, u * outer[-1], u * inner[-1]), end + drop], axis=1)[1:-1]
    pieces = []
    for side in (-1, 1):
        at = lambda x: float(np.interp(x, s, w))  # noqa: E731
        lines = [(curve([(-inner[0], 0.10), (-3.0, 0.15), (2.5, 0.13)], 3), 0.7, "fold"),
                 (np.array([(-at(end) - 1, end - 0.05), (at(end) + 1, end - 0.05)]), 0.5, "fold")]
        if end > 1.2:
            lines += [(curve([(at(0.93), 0.92), (1.5, 0.97), (-2.5, 0.95)], 3), 0.65, "fold"),
                      (curve([(-at(1.1), 1.10), (-1.0, 1.05), (2.5, 1.07)], 3), 0.65, "fold")]
        if end > 1.7:
            lines += [(curve([(at(1.86), 1.82), (0.5, 1.87), (-2.2, 1.85)], 3), 0.65, "fold")]
        if spec.fit != "slim" and end > 0.9 and spec.hem != "drawstring":
            lines.append((np.array([(0.6, 0.12), (0.2, end - 0.04)]), 0.5, "fold"))
        if spec.hem == "drawstring":
            lines.append((np.array([(-at(end * .92) - 2, end - 0.09), (at(end * .92) + 2, end - 0.09)]), 0.8, "ink"))
        leg = _limb_piece("leg", side, s, outer, inner, [], bottom, lines, "leg")
        leg.ink_lines = [leg.outline[1:-1]]
        # towards the hips the light becomes that of one body instead of two legs
        across = side * (HIP_JOINT_X + leg.mesh[..., 0]) / (18.6 + ease)
        near = 1.0 - smoothstep(0.0, 0.45, leg.mesh[..., 1])
        leg.shade = leg.shade * (1 - near) + _light(across) * near
        pieces.append(leg)
    return pieces


def hips(spec: GarmentSpec, top_y: float) -> Piece:
    """The part of trousers between waist and crotch (torso frame), drawn over the legs' tops."""
    c, ease = CENTRE_X, FIT_EASE[spec.fit]
    ys = np.array([top_y, 94.0, 100.0, 107.0, 114.5, 118.0])
    w = np.interp(ys, TORSO_Y, TORSO_W) + np.interp(ys, [90, 100, 114], [0.7, ease * 0.5, ease])
    right = np.stack([c + w, ys], axis=1)
    crotch = np.array([(c + 13.0 + ease, 121.0), (c + 5.0, 126.0), (c, 129.5)])
    outline = np.concatenate([curve([(c, top_y + 1.4), (c + w[0] * 0.6, top_y + 1.0), (c + w[0], top_y)], 3), right[1:], crotch])
    inked = outline[:-len(crotch) - 1]
    ink_line = np.concatenate([_mirror(inked), inked[1:]])
    outline = np.concatenate([outline, _mirror(outline)[1:-1]])
    rows = np.array([top_y - 4, 95.0, 104.0, 114.0, 132.0])
    mesh, shade = _torso_mesh(np.interp(rows, ys, w), rows, 7)
    lines = [(curve([(c - w[0] - 1, top_y + 4.4), (c, top_y + 6.0), (c + w[0] + 1, top_y + 4.4)], 3), 0.8, "ink"),
             (np.array([(c + 0.3, top_y + 6), (c + 0.3, 121.0)]), 0.7, "ink"),
             (curve([(c + 3.0, top_y + 6), (c + 3.2, 108), (c + 0.5, 114)], 3), 0.5, "fold"),
             (curve([(c + 1, 127), (c + 5, 121), (c + 9, 119)], 3), 0.65, "fold"),
             (curve([(c - 1, 127), (c - 5, 122), (c - 8, 120.5)], 3), 0.65, "fold")]
    for s in (-1, 1):
        lines.append((curve([(c + s * 8.5, top_y + 5), (c + s * 11, 101), (c + s * 16, 104.5)], 3), 0.75, "ink"))
    return Piece("torso", 0, outline, mesh, shade, lines, part="hips", ink_lines=[ink_line])


def skirt(spec: GarmentSpec) -> list[Piece]:
    c, hem_y, flare = CENTRE_X, SKIRT_HEM[spec.length], skirt_flare(spec, SKIRT_HEM[spec.length])
    top_y = 88.5
    ys = np.concatenate([np.linspace(top_y, 112.0, 6), np.linspace(114.0, hem_y, 6)])
    ease = FIT_EASE[spec.fit]
    w = np.interp(ys, TORSO_Y, TORSO_W) + np.interp(ys, [90.0, 100.0, 114.0], [0.7, ease * 0.7, ease])
    start = 18.6 + ease
    w = np.where(ys > 114, start + (flare - start) * (ys - 114.0) / (hem_y - 114.0), w)
    right = np.stack([c + w, ys], axis=1)
    outline = np.concatenate([curve([(c, top_y + 1.4), (c + w[0] * 0.6, top_y + 1.0), (c + w[0], top_y)], 3), right[1:]])
    outline = np.concatenate([outline, _hem_edge(spec, float(w[-1]), hem_y), _mirror(outline)[:-1]])
    rows = np.concatenate([[top_y - 5, 96.0, 105.0], np.linspace(114.0, hem_y + 6, 7)])
    pleats = 10 if spec.hem == "pleated" else 0
    mesh, shade = _torso_mesh(np.interp(rows, ys, w), rows, 21 if pleats else 9, 0.34 if spec.fit != "slim" or pleats else 0.12, pleats)
    lines = [(curve([(c - w[0] - 1, top_y + 4.0), (c, top_y + 5.6), (c + w[0] + 1, top_y + 4.0)], 3), 0.8, "ink")]
    lines += _skirt_lines(spec, hem_y, float(w[-1]))
    return [Piece("torso", 0, outline, mesh, shade, lines, part="skirt")]


def skirt_flare(spec: GarmentSpec, hem_y: float) -> float:
    """Half-width at the hem: pencil, A-line or full; a flared hem adds to it."""
    drop = (hem_y - 114.0) / 105.0
    base = {"slim": 18.8, "regular": 22.0 + 14.0 * drop, "loose": 26.0 + 22.0 * drop}[spec.fit]
    return base + (5.0 + 5.0 * drop if spec.hem in ("flared", "wavy", "ruffle") else 0.0) + (3.0 if spec.hem == "pleated" else 0.0)


def cut(spec: GarmentSpec) -> list[Piece]:
    """All pieces of an upper, lower or overall garment in drawing order (sleeves last)."""
    sleeves = [] if spec.sleeve_length == "sleeveless" else [sleeve(spec, side) for side in (-1, 1)]
    if spec.category == "upper":
        hem_y = TOP_HEM[spec.length]
        flare = 18.6 + FIT_EASE[spec.fit] + (10.0 if spec.kind == "coat" else 0.5) + (5.0 if spec.hem in ("flared", "ruffle", "wavy") else 0.0)
        return bodice(spec, hem_y, flare, spec.kind == "coat") + sleeves
    if spec.kind == "skirt":
        return skirt(spec)
    if spec.category == "lower":
        return [hips(spec, 88.5), *trouser_legs(spec)]
    if spec.kind == "jumpsuit":
        top = bodice(spec, 94.0, 20.0, False)
        return [hips(spec, 88.0), *trouser_legs(spec), *top, *sleeves]
    hem_y = SKIRT_HEM[spec.length]
    return bodice(spec, hem_y, skirt_flare(spec, hem_y), True) + sleeves


def print_places(spec: GarmentSpec) -> tuple[tuple[float, float], ...]:
    """Where a print's motif sits (canonical design units): chest, skirt front, or one thigh."""
    thigh = (CENTRE_X + HIP_JOINT_X + 0.6, 139.0)
    chest = (CENTRE_X, 78.0 if spec.collar not in ("u", "v", "square", "tailor") else 83.0)
    if spec.kind == "skirt":
        return ((CENTRE_X, min(140.0, SKIRT_HEM[spec.length] - 19.0)),)
    if spec.category == "lower":
        return (thigh,)
    if spec.kind == "dress":
        return (chest, (CENTRE_X, min(146.0, SKIRT_HEM[spec.length] - 18.0)))
    return (chest,)
