"""Named body parts as masks: capsules round the joints of a pose, scaled by the body.

All lengths are shares of the torso (neck to the middle of the hips), so a mask fits a figure of any size in the
picture. Radii are those of a clothed body (reconstructed; the skin tubes of a bare one are about 0.8 of them).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..picture.mask_shapes import capsule, dilate, ellipse, hull_band
from . import keypoints as kp
from .labels import ATR, PARTS, where
from .part_names import BOTH_SIDES, STYLES

# part -> (first joint, second joint, radius at the first, radius at the second, prolonged beyond the second)
LIMBS = {
    "upper arm": (kp.R_SHOULDER, kp.R_ELBOW, 0.17, 0.15, 0.0),
    "forearm": (kp.R_ELBOW, kp.R_WRIST, 0.15, 0.12, 0.0),
    "thigh": (kp.R_HIP, kp.R_KNEE, 0.25, 0.19, 0.0),
    "shin": (kp.R_KNEE, kp.R_ANKLE, 0.19, 0.14, 0.0),
}
HAND_RADIUS, HAND_REACH = 0.17, 0.25  # reach: from the wrist on, as a share of the forearm
FOOT_RADIUS, FOOT_REACH = 0.17, 0.16  # reach: below the ankle, as a share of the torso
# Parts that the label map of bare parts knows by itself; the others are made of these and of garment labels.
MADE_OF = {
    "head": ("hair", "face"), "collar": ("neck",),
    "skirt": ("hips", "right thigh", "left thigh", "right shin", "left shin"),
    "hem": ("right shin", "left shin", "right thigh", "left thigh"), "top hem": ("hips",),
    **{f"{s} sleeve": (f"{s} upper arm", f"{s} forearm") for s in ("right", "left")},
    **{f"{s} trouser leg": (f"{s} thigh", f"{s} shin") for s in ("right", "left")},
}  # fmt: skip
CLOTHES = ("upper-clothes", "skirt", "pants", "dress", "belt", "scarf")


@dataclass
class Body:
    """One person in a picture: joints [18,3] in pixels, the picture's size, label maps where a parser gave them."""

    joints: np.ndarray
    width: int
    height: int
    parts: np.ndarray | None = None
    garments: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.joints, filled = kp.complete(self.joints)
        self.notes = [*self.notes, *filled]
        self.torso = kp.torso_length(self.joints)

    def has(self, *joints: int) -> bool:
        return all(self.joints[j, 2] > 0 for j in joints)

    def at(self, joint: int) -> np.ndarray:
        return self.joints[joint, :2].astype(np.float64)

    def hips_middle(self) -> np.ndarray | None:
        return (self.at(kp.R_HIP) + self.at(kp.L_HIP)) / 2 if self.has(kp.R_HIP, kp.L_HIP) else None

    def down(self) -> np.ndarray:
        """Unit vector from the neck to the hips (straight down where they are absent)."""
        hips = self.hips_middle()
        if hips is None or not self.has(kp.NECK):
            return np.array([0.0, 1.0])
        way = hips - self.at(kp.NECK)
        return way / max(float(np.linalg.norm(way)), 1e-9)

    def empty(self) -> np.ndarray:
        return np.zeros((self.height, self.width), bool)


def part_mask(body: Body, name: str, style: str = STYLES[0], length: float | None = None) -> np.ndarray:
    """bool [H,W] of one part.

    style: "limb capsules", "parser regions" (needs the body's label maps) or "both intersected".
    length: for sleeves, trouser legs, skirt and hem: where the garment is to end, as a share of the limb (0 shoulder or
    hip, 0.5 elbow or knee, 1 wrist or ankle). The mask then reaches to the longer of that and what is worn now.
    An absent part gives an empty mask and a sentence in body.notes.
    """
    if style == "parser regions":
        region = _region(body, name)
        return region | _capsules(body, name, length) if length is not None and _has_length(name) else region
    capsules = _capsules(body, name, length)
    if style == "both intersected":
        capsules &= _region(body, name, grow=0.08)
    return capsules


def parts_mask(
    body: Body, terms: list[tuple[bool, str]], style: str = STYLES[0], length: float | None = None
) -> np.ndarray:
    """bool [H,W]: the union of the wanted parts without the unwanted ones; later terms win over earlier ones."""
    mask = body.empty()
    for keep, name in terms:
        part = part_mask(body, name, style, length)
        mask = mask | part if keep else mask & ~part
    return mask


def _has_length(name: str) -> bool:
    return name in ("skirt", "hem") or name.endswith(("sleeve", "trouser leg"))


def _region(body: Body, name: str, grow: float = 0.0) -> np.ndarray:
    """The part in the label maps: its own labels; for parts of a garment only where cloth was seen, if anything was."""
    if body.parts is None:
        raise ValueError("This mask style needs label maps; connect PARTS from Detect Body, or choose limb capsules.")
    region = where(body.parts, MADE_OF.get(name, (name,)), PARTS)
    if name in ("collar", "hem", "top hem"):
        region = where(body.parts, (*MADE_OF[name], "torso"), PARTS) & _capsules(body, name, None)
    if body.garments is not None and (_has_length(name) or name == "collar"):
        clothed = region & where(body.garments, CLOTHES, ATR)
        region = clothed if clothed.any() else region
    if grow and region.any():
        region = dilate(region, grow * body.torso)
    if not region.any():
        body.notes.append(f"{name}: not in the label maps")
    return region


def _capsules(body: Body, name: str, length: float | None) -> np.ndarray:
    if body.torso <= 0:
        body.notes.append(f"{name}: left out, the pose has no torso to take the scale from")
        return body.empty()
    side, _, single = name.partition(" ")
    if side in ("right", "left") and single in BOTH_SIDES:
        mask = _side_part(body, side == "left", single, length)
    else:
        mask = _MIDDLE[name](body, length)
    if mask is None:
        body.notes.append(f"{name}: left out, its joints are absent")
        return body.empty()
    if not mask.any():
        body.notes.append(f"{name}: outside the picture")
    return mask


def _side_part(body: Body, left: bool, single: str, length: float | None) -> np.ndarray | None:
    if single in LIMBS:
        return _limb(body, LIMBS[single], left)
    if single == "hand":
        return _hand(body, left)
    if single == "foot":
        return _foot(body, left)
    upper, lower = ("upper arm", "forearm") if single == "sleeve" else ("thigh", "shin")
    if length is None:
        found = [_limb(body, LIMBS[part], left) for part in (upper, lower)]
    else:
        reach = max(length, worn_length(body, ("left " if left else "right ") + single))
        found = [
            _limb(body, LIMBS[upper], left, min(1.0, 2 * reach)),
            _limb(body, LIMBS[lower], left, min(1.0, 2 * reach - 1)) if reach > 0.5 else None,
        ]
    masks = [mask for mask in found if mask is not None]
    return np.logical_or.reduce(masks) if masks else None


def worn_length(body: Body, name: str) -> float:
    """How far along its limb the worn garment reaches (0..1), seen in the label maps; 1, the safe answer, without
    them.
    """
    if body.garments is None:
        return 1.0
    left = name.startswith("left")
    right = (kp.R_SHOULDER, kp.R_ELBOW, kp.R_WRIST) if name.endswith("sleeve") else (kp.R_HIP, kp.R_KNEE, kp.R_ANKLE)
    joints = [kp.MIRRORED[j] if left else j for j in right]
    if not body.has(*joints):
        return 1.0
    cloth = where(body.garments, CLOTHES, ATR)
    share, last = np.linspace(0, 1, 41), 0.0
    for s in share:
        a, b, t = (joints[0], joints[1], 2 * s) if s <= 0.5 else (joints[1], joints[2], 2 * s - 1)
        x, y = body.at(a) + t * (body.at(b) - body.at(a))
        if 0 <= int(y) < body.height and 0 <= int(x) < body.width and cloth[int(y), int(x)]:
            last = float(s)
    return min(1.0, last + 0.06)


def _limb(body: Body, spec: tuple, left: bool, share: float = 1.0) -> np.ndarray | None:
    first, second, r0, r1, _ = spec
    if left:
        first, second = kp.MIRRORED[first], kp.MIRRORED[second]
    if not body.has(first, second):
        return None
    a, b = body.at(first), body.at(second)
    end = a + share * (b - a)
    return capsule(body.width, body.height, a, end, r0 * body.torso, (r0 + share * (r1 - r0)) * body.torso)


def _hand(body: Body, left: bool) -> np.ndarray | None:
    elbow, wrist = (kp.L_ELBOW, kp.L_WRIST) if left else (kp.R_ELBOW, kp.R_WRIST)
    if not body.has(elbow, wrist):
        return None
    a, b = body.at(wrist), body.at(wrist) + HAND_REACH * (body.at(wrist) - body.at(elbow))
    return capsule(body.width, body.height, b, b, HAND_RADIUS * body.torso, HAND_RADIUS * body.torso) & ~_behind(
        body, a, b
    )


def _behind(body: Body, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The half-plane before the wrist: the forearm's side, which is no hand."""
    rows, cols = np.ogrid[: body.height, : body.width]
    way = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
    return (cols - a[0]) * way[0] + (rows - a[1]) * way[1] < -0.05 * body.torso


def _foot(body: Body, left: bool) -> np.ndarray | None:
    knee, ankle = (kp.L_KNEE, kp.L_ANKLE) if left else (kp.R_KNEE, kp.R_ANKLE)
    if not body.has(ankle):
        return None
    a = body.at(ankle)
    way = (
        (a - body.at(knee)) / max(float(np.linalg.norm(a - body.at(knee))), 1e-9)
        if body.has(knee)
        else np.array([0.0, 1.0])
    )
    b = a + FOOT_REACH * body.torso * way
    return capsule(body.width, body.height, a + 0.3 * (b - a), b, FOOT_RADIUS * body.torso, FOOT_RADIUS * body.torso)


def _face_frame(body: Body) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Centre of the face, unit vector up, and the half-height of head and face together, in pixels."""
    if not body.has(kp.NOSE):
        return None
    nose = body.at(kp.NOSE)
    if body.has(kp.NECK):
        way = nose - body.at(kp.NECK)
        size = float(np.clip(np.linalg.norm(way), 0.22 * body.torso, 0.5 * body.torso))
        up = way / max(float(np.linalg.norm(way)), 1e-9)
    else:
        up, size = np.array([0.0, -1.0]), 0.36 * body.torso
    return nose, up, size


def _head(body: Body, length: float | None = None) -> np.ndarray | None:
    frame = _face_frame(body)
    if frame is None:
        return None
    nose, up, size = frame
    return ellipse(body.width, body.height, nose + 0.25 * size * up, up, 0.95 * size, 0.72 * size)


def _face(body: Body, length: float | None = None) -> np.ndarray | None:
    frame = _face_frame(body)
    if frame is None:
        return None
    nose, up, size = frame
    return ellipse(body.width, body.height, nose + 0.06 * size * up, up, 0.62 * size, 0.47 * size)


def _hair(body: Body, length: float | None = None) -> np.ndarray | None:
    head, face = _head(body), _face(body)
    return None if head is None or face is None else head & ~face


def _neck(body: Body, length: float | None = None) -> np.ndarray | None:
    if not body.has(kp.NECK):
        return None
    frame, neck = _face_frame(body), body.at(kp.NECK)
    top = neck - 0.25 * body.torso * body.down() if frame is None else frame[0] - 0.45 * frame[2] * frame[1]
    return capsule(body.width, body.height, neck, top, 0.15 * body.torso, 0.13 * body.torso)


def _collar(body: Body, length: float | None = None) -> np.ndarray | None:
    """Round the neck's base and down the chest: room for a V, a lapel, or a stand-up collar."""
    if not body.has(kp.NECK):
        return None
    neck, down = body.at(kp.NECK), body.down()
    wide = ellipse(body.width, body.height, neck + 0.03 * body.torso * down, down, 0.20 * body.torso, 0.27 * body.torso)
    deep = capsule(body.width, body.height, neck, neck + 0.22 * body.torso * down, 0.19 * body.torso, 0.12 * body.torso)
    face = _face(body)
    mask = wide | deep
    return mask if face is None else mask & ~face


def _torso(body: Body, length: float | None = None) -> np.ndarray | None:
    corners = (kp.R_SHOULDER, kp.L_SHOULDER, kp.L_HIP, kp.R_HIP)
    if not body.has(*corners):
        return None
    points = np.stack([body.at(j) for j in corners])
    return hull_band(body.width, body.height, points, 0.14 * body.torso)


def _hips(body: Body, length: float | None = None) -> np.ndarray | None:
    if not body.has(kp.R_HIP, kp.L_HIP):
        return None
    a, b, down = body.at(kp.R_HIP), body.at(kp.L_HIP), body.down()
    lift, drop = -0.16 * body.torso * down, 0.12 * body.torso * down
    return hull_band(body.width, body.height, np.stack([a + lift, b + lift, b + drop, a + drop]), 0.2 * body.torso)


def _leg_point(body: Body, left: bool, share: float) -> np.ndarray:
    """A point of a leg: 0 hip, 0.5 knee, 1 ankle; straight down along the torso where a joint is absent."""
    joints = [kp.R_HIP, kp.R_KNEE, kp.R_ANKLE]
    hip, knee, ankle = (kp.MIRRORED[j] if left else j for j in joints)
    knee_at = body.at(knee) if body.has(knee) else body.at(hip) + 0.85 * body.torso * body.down()
    ankle_at = body.at(ankle) if body.has(ankle) else knee_at + (knee_at - body.at(hip)) * 0.95
    if share <= 0.5:
        return body.at(hip) + 2 * share * (knee_at - body.at(hip))
    return knee_at + (2 * share - 1) * (ankle_at - knee_at)


def _skirt(body: Body, length: float | None = None) -> np.ndarray | None:
    """From the waist to `length` along the legs, both legs and the room between and beside them."""
    if not body.has(kp.R_HIP, kp.L_HIP):
        return None
    worn = max(worn_length(body, "right trouser leg"), worn_length(body, "left trouser leg"))
    end = worn if length is None else max(length, worn)
    mask, steps = body.empty(), np.linspace(0, max(end, 0.05), 7)
    waist = -0.16 * body.torso * body.down()
    levels = [np.stack([body.at(kp.R_HIP) + waist, body.at(kp.L_HIP) + waist])]
    levels += [np.stack([_leg_point(body, False, s), _leg_point(body, True, s)]) for s in steps]
    radii = [0.14, *(0.22 + 0.12 * steps / max(steps[-1], 1e-9))]
    for upper, lower, r0, r1 in zip(levels, levels[1:], radii, radii[1:]):
        # only downwards from the first band on; each band is as wide as the flare at its height
        mask |= hull_band(body.width, body.height, np.concatenate([upper, lower]), body.torso * (r0 + r1) / 2)
    return mask


def _hem(body: Body, length: float | None = None) -> np.ndarray | None:
    """A band across both legs where the lower garment ends now, and down or up to where it is to end."""
    if not body.has(kp.R_HIP, kp.L_HIP):
        return None
    worn = max(worn_length(body, "right trouser leg"), worn_length(body, "left trouser leg"))
    low, high = (worn, worn) if length is None else (min(worn, length), max(worn, length))
    ends = [_leg_point(body, left, s) for s in (max(0.0, low - 0.1), min(1.0, high)) for left in (False, True)]
    return hull_band(body.width, body.height, np.stack(ends), 0.3 * body.torso)


def _top_hem(body: Body, length: float | None = None) -> np.ndarray | None:
    if not body.has(kp.R_HIP, kp.L_HIP):
        return None
    a, b, down = body.at(kp.R_HIP), body.at(kp.L_HIP), body.down()
    rise = 0.25 * body.torso * down
    return hull_band(body.width, body.height, np.stack([a - rise, b - rise, b, a]), 0.15 * body.torso)


_MIDDLE = {
    "head": _head, "hair": _hair, "face": _face, "neck": _neck, "collar": _collar, "torso": _torso, "hips": _hips,
    "skirt": _skirt, "hem": _hem, "top hem": _top_hem,
}  # fmt: skip
