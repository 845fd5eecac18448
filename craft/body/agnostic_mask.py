"""The mask of a try-on: where garments go, drawn from the body alone so that it does not tell what was worn before.

The published mask follows the old garment's outline, so a network learns the old sleeve and length from it. Here the
shape comes from joints and garment category (every sleeve and length that the category knows fits in), is widened in
fixed steps until the old garment is covered, and only then loses what is protected.
"""

from __future__ import annotations

import numpy as np

from ..garments import BY_ID, IDS
from ..picture.mask_shapes import capsule, dilate
from .body_parts import Body, part_mask
from .labels import ATR, PARTS, where
from .part_names import PROTECTABLE, expand

WIDER = (0.1, 0.3)  # steps of widening, in torso lengths: two, so that they tell little
COVERED = 0.98  # share of the old garment that a step must cover; what is left is covered by coarse squares,
# and those of a skirt go on down to where the mask ends: they must not show where its hem was
SQUARE = 0.25  # side of those, in torso lengths
ROOM = (
    0.05  # covered round the old garment, in torso lengths: where the seam is feathered, its outline would show through
)
NO_FACE = ("neck", "torso", "right upper arm", "left upper arm")
HEMLINE = 0.35  # how far below the hips a top may reach, in torso lengths


def agnostic_mask(
    body: Body, categories: tuple[str, ...], protect: tuple[str, ...] = PROTECTABLE, margin: float = 0.0
) -> np.ndarray:
    """bool [H,W]: True = repaint. What was left out or guessed is in body.notes.

    body: joints and, where a parser gave them, label maps (PARTS, ATR). categories: what will be worn, of garments.IDS.
    protect: what is never masked, of PROTECTABLE. A bag or shoes that are to be worn are not protected.
    margin: more room all round, in torso lengths.
    Raises ValueError for an unknown name, no category, or when nothing is left of the mask.
    """
    for name, known in ((categories, IDS), (protect, PROTECTABLE)):
        strangers = [item for item in name if item not in known]
        if strangers:
            raise ValueError(f"{strangers[0]!r} is not one of {', '.join(known)}.")
    if not categories:
        raise ValueError(
            f"No garment category is chosen, so there is nothing to mask; choose {', '.join(IDS[:-1])} or {IDS[-1]}."
        )
    mask = body.empty()
    for category in dict.fromkeys(categories):
        # Over a dress a new top or bottom replaces the whole of it.
        over_dress = BY_ID[category].takes_dress_off and _wears_dress(body)
        region = _region(body, "overall" if over_dress else category)
        mask |= _widened(body, region, _worn(body, category), margin)
    mask &= ~protected(body, categories, protect)
    if not mask.any():
        raise ValueError(f"The agnostic mask is empty ({'; '.join(body.notes) or 'everything is protected'}).")
    return mask


def protected(body: Body, categories: tuple[str, ...], protect: tuple[str, ...]) -> np.ndarray:
    """bool [H,W]: what the mask must never touch: labels where there are label maps, else the parts' capsules.

    Throat and bare shoulders that a parser counts as face are no face: collars go there (known where PARTS has labels).
    """
    guard, bared = body.empty(), {name for category in categories for name in BY_ID[category].bares}
    if body.garments is None and body.parts is None:
        names = [name for name in protect if name != "bag" and name not in bared]
        for name in names:
            for single in expand(name):
                guard |= part_mask(body, single)
        return guard
    wanted = {
        "face": (("face", "sunglasses"), ("face",)), "hair": (("hair", "hat"), ("hair",)),
        "hands": ((), ("right hand", "left hand")), "bag": (("bag",), ()),
        "feet": (("left-shoe", "right-shoe"), ("right foot", "left foot")),
    }  # fmt: skip
    for name in protect:
        if name in bared:
            continue
        atr, parts = wanted[name]
        if body.garments is not None:
            seen = where(body.garments, atr, ATR)
            guard |= seen & ~where(body.parts, NO_FACE, PARTS) if name == "face" and body.parts is not None else seen
        if body.parts is not None:
            guard |= _bare(body, where(body.parts, parts, PARTS), name)
    return guard


def _bare(body: Body, part: np.ndarray, name: str) -> np.ndarray:
    """Hands and feet in the part map lie under cloth too; only where no garment was seen are they bare."""
    if body.garments is None or name not in ("hands", "feet"):
        return part
    return part & ~where(body.garments, BY_ID["overall"].atr, ATR)


def _region(body: Body, category: str) -> np.ndarray:
    region = body.empty()
    for name in BY_ID[category].region:
        for single in expand(name):
            region |= part_mask(_bare_body(body), single)
    if BY_ID[category].below_hips:
        region |= _below_hips(body)
    if BY_ID[category].in_hands:
        region |= _beside_hands(body)
    return region


def _bare_body(body: Body) -> Body:
    """The same body without its label maps: their garment lengths would shape the region. Notes are shared."""
    bare = Body(body.joints, body.width, body.height)
    bare.notes = body.notes
    return bare


def _below_hips(body: Body) -> np.ndarray:
    hips = body.hips_middle()
    if hips is None:
        return body.empty()
    end = hips + HEMLINE * body.torso * body.down()
    return capsule(body.width, body.height, hips, end, 0.42 * body.torso, 0.46 * body.torso)


def _beside_hands(body: Body) -> np.ndarray:
    """Room for a bag: hanging from each hand, and what a parser calls a bag (in coarse squares)."""
    region, down = body.empty(), np.array([0.0, 1.0])
    for wrist in (4, 7):
        if body.has(wrist):
            at = body.at(wrist)
            region |= capsule(
                body.width,
                body.height,
                at + 0.1 * body.torso * down,
                at + 0.55 * body.torso * down,
                0.2 * body.torso,
                0.34 * body.torso,
            )
    return region


def _worn(body: Body, category: str) -> np.ndarray:
    if body.garments is None:
        return body.empty()
    return where(body.garments, BY_ID[category].atr, ATR)


def _wears_dress(body: Body) -> bool:
    return body.garments is not None and where(body.garments, ("dress",), ATR).mean() > 0.005


def _widened(body: Body, region: np.ndarray, worn: np.ndarray, margin: float) -> np.ndarray:
    if not region.any() and not worn.any():
        return region
    worn = dilate(worn, ROOM * body.torso)
    total = max(1, int(worn.sum()))
    grown = region
    for step in WIDER:
        grown = dilate(region, (step + margin) * body.torso)
        if (worn & grown).sum() >= COVERED * total:
            break
    left = worn & ~grown
    if not left.any():
        return grown
    squares = _squares(dilate(left, 0.04 * body.torso), max(8, int(SQUARE * body.torso)))
    hips = body.hips_middle()
    if hips is not None:
        rows = np.arange(body.height)[:, None]
        skirt = squares & (rows >= hips[1] - 0.1 * body.torso)
        grown = grown | (skirt.any(0) & (rows >= hips[1]) & (rows <= np.flatnonzero(grown.any(1)).max(initial=0)))
    return grown | squares


def _squares(mask: np.ndarray, side: int) -> np.ndarray:
    """Every square of a fixed grid that holds a marked pixel."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % side), (0, -width % side)))
    cells = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side).any((1, 3))
    return cells.repeat(side, 0).repeat(side, 1)[:height, :width]
