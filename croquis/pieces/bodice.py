"""Tops, coats and the upper parts of dresses: bodice, neckline, collar."""

from __future__ import annotations

import numpy as np

from ..body import CENTRE_X, TORSO_W, TORSO_Y, smoothstep
from ..garment import GarmentSpec
from .piece import FIT_EASE, Piece, curve, mirror, torso_mesh
from .skirt import hem_edge, skirt_lines


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
    return curve([(c, 54.8), (c + 4.6, 53.6), (c + 7.4, 50.4)], 4), 7.4  # stand, turtle, closed


def _waist_folds(spec: GarmentSpec, hem_y: float) -> list:
    c, e = CENTRE_X, FIT_EASE[spec.fit]
    lines = [
        (curve([(c - 13 - e, 86), (c - 8, 88.5), (c - 3.5, 88)], 3), 0.7, "fold"),
        (curve([(c + 13.5 + e, 82), (c + 9, 86), (c + 5, 86.5)], 3), 0.8, "fold"),
        (curve([(c + 16 + e, 70), (c + 12, 73.5), (c + 8.5, 74)], 3), 0.7, "fold"),
        (curve([(c - 16 - e, 70), (c - 12.5, 73), (c - 10, 73.4)], 3), 0.6, "fold"),
    ]
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
    arm_hole = curve(
        [
            shoulder,
            (shoulder[0] + (-0.6 if bare else 0.4), 60.5),
            (under - (2.6 if bare else 1.0), 66.5),
            (under, 70.5),
        ],
        4,
    )
    ys = np.concatenate(
        [np.linspace(72.0, min(hem_y, 113.0), 10), np.linspace(114.0, hem_y, 6)[1:] if hem_y > 116 else np.empty(0)]
    )
    side = np.stack([CENTRE_X + _half_width(spec, ys, hem_y, flare), ys], axis=1)
    half = float(side[-1, 0] - CENTRE_X)
    right = np.concatenate(
        [neck, [shoulder] if spec.kind != "tank" else [(shoulder[0], shoulder[1])], arm_hole[1:], side]
    )
    hem = hem_edge(spec, half, hem_y)
    outline = np.concatenate([right, hem, mirror(right)[:-1]])
    ink_lines = None
    if spec.open:
        return _open_front(spec, right, arm_hole, side, hem, hem_y, flare) + _open_collar(spec)
    if not bare:  # the sleeves draw the armholes
        top = np.concatenate([neck, [neck[-1] * 0.45 + np.asarray(shoulder) * 0.55]])
        ink_lines = [
            np.concatenate([mirror(top), top[1:]]),
            np.concatenate([arm_hole[-6:], side, hem, mirror(side), mirror(arm_hole[-6:])]),
        ]
    rows = (
        np.concatenate([[47.0, 56.0, 66.0, 76.0, 86.0, 95.0, 104.0], np.linspace(113.0, hem_y + 6, 6)])
        if hem_y > 113
        else np.append(np.array([47.0, 56.0, 66.0, 76.0, 86.0]), np.linspace(93.0, hem_y + 8, 3))
    )
    widths = np.maximum(_half_width(spec, rows, hem_y, flare), np.where(rows < 68, 20.5 + ease, 0))
    pleats = 10 if spec.hem == "pleated" else 0
    gores = (0.34 if spec.fit != "slim" or pleats else 0.12) if skirted else 0.0
    mesh, shade = torso_mesh(widths, rows, 21 if pleats else 9, gores, pleats)
    shade = shade - 0.12 * np.exp(-(((rows[:, None] - 73.0) / 5.0) ** 2)) * smoothstep(
        0.2, 0.8, np.linspace(-1, 1, mesh.shape[1])
    )
    lines = _waist_folds(spec, min(hem_y, 120.0) if skirted else hem_y)
    if skirted:
        lines += skirt_lines(spec, hem_y, half)
        lines.append((curve([(CENTRE_X - 15.5, 90.5), (CENTRE_X, 92.6), (CENTRE_X + 15.5, 90.5)], 4), 0.8, "ink"))
    lines += _front_lines(spec, neck, hem_y, half)
    front = Piece("torso", 0, outline, mesh, shade, lines, part="bodice", ink_lines=ink_lines)
    back = [] if spec.collar in ("turtle", "stand") else [_back_neck(neck_x)]
    return [*back, front, *_collar(spec, neck, neck_x)]


def _back_neck(neck_x: float) -> Piece:
    """The inside of the back, seen through the neck opening."""
    c = CENTRE_X
    top = curve([(c - neck_x, 51.4), (c, 53.4), (c + neck_x, 51.4)], 5)
    low = np.array([(c + neck_x, 56.0), (c, 60.0), (c - neck_x, 56.0)])
    mesh, shade = torso_mesh(np.array([neck_x, neck_x]), np.array([49.0, 62.0]), 3)
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
        lines.append((np.concatenate([mirror(rib), rib]), 0.6, "fold"))
    if spec.hem in ("flat", "slit", "drawstring", "flared") and spec.kind != "coat":
        up = 2.4 if spec.hem != "drawstring" else 5.0
        lines.append(
            (np.array([(c - half - 1, hem_y - up), (c, hem_y - up + 1.2), (c + half + 1, hem_y - up)]), 0.5, "fold")
        )
    if spec.hem == "drawstring":
        for x in np.linspace(-0.85, 0.85, 9):
            lines.append((np.array([(c + x * half, hem_y - 5), (c + x * half, hem_y)]), 0.5, "fold"))
    return lines


def _collar(spec: GarmentSpec, neck: np.ndarray, neck_x: float) -> list[Piece]:
    c, pieces = CENTRE_X, []
    if spec.collar in ("turtle", "stand"):
        top = 43.5 if spec.collar == "turtle" else 47.0
        right = curve([(c + 6.6, top), (c + 6.9, (top + 51) / 2), (c + 8.6, 51.6)], 3)
        low = curve([(c + 8.6, 51.6), (c + 5, 55.2), (c, 56.4), (c - 5, 55.2), (c - 8.6, 51.6)], 3)
        upper = curve([(c - 6.6, top), (c, top + 1.6), (c + 6.6, top)], 4)
        outline = np.concatenate([upper, right[1:], low[1:], mirror(right)[1:]])
        mesh, shade = torso_mesh(np.array([8.2, 8.4, 10.5]), np.array([41.0, 49.0, 60.0]), 5)
        lines = (
            [(upper + np.array([0, 2.6]), 0.5, "fold")]
            if spec.collar == "turtle"
            else [(np.array([(c + 0.6, top + 1), (c + 0.8, 57)]), 0.8, "ink")]
        )
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
            mesh, shade = torso_mesh(np.array([15.0, 15.0, 14.0]), np.array([46.0, 60.0, 90.0]), 5)
            pieces.append(
                Piece(
                    "torso",
                    0,
                    out,
                    mesh,
                    np.clip(shade + 0.02, 0, 1),
                    [],
                    colour=0 if spec.collar != "closed" else 1,
                    patterned=False,
                    part="collar",
                )
            )
    return pieces


def _open_front(
    spec: GarmentSpec,
    right: np.ndarray,
    arm_hole: np.ndarray,
    side: np.ndarray,
    hem: np.ndarray,
    hem_y: float,
    flare: float,
) -> list[Piece]:
    """Two panels that stand apart and, behind the body, the lining."""
    c = CENTRE_X
    edge_x = 9.5 + 0.05 * max(hem_y - 90.0, 0.0)
    neck_point = right[np.argmin(np.abs(right[:, 0] - arm_hole[0, 0]) + np.abs(right[:, 1] - arm_hole[0, 1])) - 1]
    low = hem[hem[:, 0] > c + edge_x]
    edge = curve(
        [(c + edge_x, low[-1, 1]), (c + edge_x - 1.0, (hem_y + 70) / 2), (c + 8.6, 66.0), tuple(neck_point)], 4
    )
    body = np.concatenate([side, low])
    panel = np.concatenate([neck_point[None], arm_hole, body, edge[:-1]])
    rows = np.concatenate([np.linspace(47.0, 86.0, 5), np.linspace(93.0, hem_y + 7, 6)])
    widths = np.maximum(_half_width(spec, rows, hem_y, flare), np.where(rows < 68, 20.5 + FIT_EASE[spec.fit], 0))
    mesh, shade = torso_mesh(widths, rows, 9, 0.3 if spec.kind == "coat" else 0.0)
    y = min(100.0, hem_y - 9)
    lining = np.concatenate(
        [neck_point[None], arm_hole, side, hem, mirror(np.concatenate([neck_point[None], arm_hole, side]))]
    )
    pieces = [Piece("torso", 0, lining, mesh, shade * 0.55, [], colour=2, patterned=False, part="back")]
    for s in (-1, 1):
        flip = (lambda p: p) if s > 0 else mirror
        lines = [
            (flip(np.array([(c + 12.5, y), (c + 18.0, y + 1.2)])), 0.9, "ink"),
            (flip(curve([(c + 16, 84), (c + 13, 90), (c + 13.5, min(hem_y - 4, 112))], 3)), 0.7, "fold"),
            (flip(curve([(c + 17.5, 70), (c + 14, 73.5), (c + 11, 74)], 3)), 0.6, "fold"),
        ]
        inks = [
            flip(np.stack([neck_point, neck_point * 0.45 + arm_hole[0] * 0.55])),
            flip(np.concatenate([arm_hole[-6:], body, edge])),
        ]
        pieces.append(Piece("torso", 0, flip(panel), mesh, shade, lines, part="bodice", ink_lines=inks))
    return pieces


def _open_collar(spec: GarmentSpec) -> list[Piece]:
    tailor = [(7.0, 48.8), (11.8, 52.6), (14.6, 60.0), (11.8, 61.4), (14.2, 64.8), (9.4, 84.0), (8.2, 66.0)]
    shirt = [(7.0, 48.8), (12.2, 52.8), (13.6, 62.0), (9.4, 66.5), (8.0, 57.0)]
    mesh, shade = torso_mesh(np.array([16.0, 16.0, 14.0]), np.array([46.0, 60.0, 90.0]), 5)
    return [
        Piece(
            "torso",
            0,
            np.array([(CENTRE_X + s * x, y) for x, y in (tailor if spec.collar == "tailor" else shirt)]),
            mesh,
            np.clip(shade + 0.02, 0, 1),
            [],
            patterned=False,
            part="collar",
        )
        for s in (-1, 1)
    ]
