"""Label sets of human parsers and the tables between them.

Label maps are uint8 [H,W] with these numbers. ATR (18 classes), LIP (20) and DensePose's fine segmentation (25) are the
numberings of the published parsers; PARTS is this pack's own map of bare body parts, left and right apart.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

ATR = (
    "background", "hat", "hair", "sunglasses", "upper-clothes", "skirt", "pants", "dress", "belt", "left-shoe",
    "right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "bag", "scarf",
)  # fmt: skip
LIP = (
    "background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "pants",
    "jumpsuits", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe", "right-shoe",
)  # fmt: skip
PARTS = (
    "background", "hair", "face", "neck", "torso", "hips", "right upper arm", "left upper arm", "right forearm",
    "left forearm", "right hand", "left hand", "right thigh", "left thigh", "right shin", "left shin", "right foot",
    "left foot",
)  # fmt: skip
# DensePose fine segmentation, as the FastFit masker groups it (it names the feet the other way round; only their union
# counts).
DENSEPOSE = {
    "torso": (1, 2), "hands": (3, 4), "feet": (5, 6), "thighs": (7, 8, 9, 10), "legs": (11, 12, 13, 14),
    "upper arms": (15, 16, 17, 18), "forearms": (19, 20, 21, 22), "face": (23, 24),
}  # fmt: skip

LIP_TO_ATR = {
    "glove": "background", "coat": "upper-clothes", "jumpsuits": "dress", "socks": "background",
}  # fmt: skip
ATR_TO_LIP = {"belt": "upper-clothes", "bag": "background"}
PARTS_TO_DENSEPOSE = (0, 23, 23, 1, 1, 1, 16, 15, 20, 19, 3, 4, 7, 8, 11, 12, 5, 6)

# Colours of a label map as a picture: one well apart for each number, the same in every label set.
PALETTE = np.array([
    (0, 0, 0), (128, 64, 0), (94, 60, 40), (40, 40, 160), (220, 60, 60), (70, 160, 220), (60, 90, 200), (230, 120, 40),
    (160, 160, 60), (250, 190, 80), (200, 150, 60), (250, 200, 170), (120, 200, 120), (60, 150, 80), (180, 120, 220),
    (120, 70, 180), (240, 80, 180), (90, 220, 210), (200, 220, 90), (150, 150, 150), (30, 120, 120), (250, 250, 120),
    (160, 40, 90), (100, 100, 250), (220, 220, 220),
], dtype=np.uint8)  # fmt: skip


def numbers(names: Iterable[str], label_set: tuple[str, ...]) -> list[int]:
    """The numbers of label names in a set; names that the set lacks contribute nothing."""
    return [label_set.index(name) for name in names if name in label_set]


def where(labels: np.ndarray, names: Iterable[str], label_set: tuple[str, ...]) -> np.ndarray:
    """bool [H,W]: the pixels that carry one of the named labels."""
    return np.isin(labels, numbers(names, label_set))


def translate(
    labels: np.ndarray, source: tuple[str, ...], target: tuple[str, ...], renamed: dict[str, str]
) -> np.ndarray:
    """A label map in another set: same names keep their meaning, `renamed` maps the others, what is left becomes
    background.
    """
    table = np.zeros(256, np.uint8)
    for number, name in enumerate(source):
        name = name if name in target else renamed.get(name, "background")
        table[number] = target.index(name)
    return table[labels]


def lip_to_atr(labels: np.ndarray) -> np.ndarray:
    return translate(labels, LIP, ATR, LIP_TO_ATR)


def atr_to_lip(labels: np.ndarray) -> np.ndarray:
    return translate(labels, ATR, LIP, ATR_TO_LIP)


def parts_to_densepose(parts: np.ndarray) -> np.ndarray:
    """This pack's part labels in DensePose's numbers (front surface; hair counts as its face)."""
    return np.asarray(PARTS_TO_DENSEPOSE, np.uint8)[parts]


def match_names(names: dict[int, str], target: tuple[str, ...] = ATR) -> tuple[np.ndarray, list[str]]:
    """A table uint8 [256] from another parser's numbers to a label set here, by its own label names.

    Names match without case, spaces, hyphens and underscores; common other names are known. Returns the table and the
    names that found no place (they become background).
    """
    wanted = {_plain(name): number for number, name in enumerate(target)}
    table, strangers = np.zeros(256, np.uint8), []
    for number, name in names.items():
        plain = _plain(name)
        plain = plain if plain in wanted else _plain(OTHER_NAMES.get(plain, ""))
        if plain in wanted and 0 <= int(number) < 256:
            table[int(number)] = wanted[plain]
        else:
            strangers.append(name)
    return table, strangers


OTHER_NAMES = {
    "upperclothes": "upper-clothes", "top": "upper-clothes", "shirt": "upper-clothes", "coat": "upper-clothes",
    "jacket": "upper-clothes", "sweater": "upper-clothes", "jumpsuits": "dress", "jumpsuit": "dress",
    "trousers": "pants", "shorts": "pants", "leftarm": "left-arm", "rightarm": "right-arm", "leftleg": "left-leg",
    "rightleg": "right-leg", "leftshoe": "left-shoe", "rightshoe": "right-shoe", "glasses": "sunglasses",
    "eyewear": "sunglasses", "headwear": "hat", "skin": "face", "purse": "bag", "handbag": "bag", "shawl": "scarf",
}  # fmt: skip


def _plain(name: str) -> str:
    return "".join(ch for ch in str(name).lower() if ch.isalnum())


def colour(labels: np.ndarray) -> np.ndarray:
    """A label map as a picture, uint8 [H,W,3]."""
    return PALETTE[np.minimum(labels, len(PALETTE) - 1)]


def mirrored(names: tuple[str, ...]) -> list[int]:
    """For each label of a set the one it becomes in a mirror: left and right exchanged."""
    swapped = [name.replace("left", "\0").replace("right", "left").replace("\0", "right") for name in names]
    return [names.index(name) for name in swapped]
