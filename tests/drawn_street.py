"""A tiny Clothing Co-Parsing of drawn pictures, in both layouts."""

import json

import numpy as np
from PIL import Image

# The 59 labels, in the data set's own order.
NAMES = [
    "null",
    "accessories",
    "bag",
    "belt",
    "blazer",
    "blouse",
    "bodysuit",
    "boots",
    "bra",
    "bracelet",
    "cape",
    "cardigan",
    "clogs",
    "coat",
    "dress",
    "earrings",
    "flats",
    "glasses",
    "gloves",
    "hair",
    "hat",
    "heels",
    "hoodie",
    "intimate",
    "jacket",
    "jeans",
    "jumper",
    "leggings",
    "loafers",
    "necklace",
    "panties",
    "pants",
    "pumps",
    "purse",
    "ring",
    "romper",
    "sandals",
    "scarf",
    "shirt",
    "shoes",
    "shorts",
    "skin",
    "skirt",
    "sneakers",
    "socks",
    "stockings",
    "suit",
    "sunglasses",
    "sweater",
    "sweatshirt",
    "swimwear",
    "t-shirt",
    "tie",
    "tights",
    "top",
    "vest",
    "wallet",
    "watch",
    "wedges",
]
WIDTH, HEIGHT = 96, 144
COLOURS = {"hair": (60, 40, 20), "skin": (230, 180, 150), "blouse": (200, 30, 40), "skirt": (30, 160, 60),
           "jeans": (40, 60, 200), "shoes": (20, 20, 20), "bag": (230, 200, 30), "watch": (250, 250, 250)}  # fmt: skip


def figure(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(picture [H,W,3], label numbers [H,W], joints [18,3]): blocks in one colour for each label."""
    rng = np.random.default_rng(seed)
    x, lower = int(rng.integers(40, 57)), ("skirt", "jeans")[seed % 2]
    blocks = [("hair", -8, 8, 10, 22), ("skin", -6, 6, 22, 34), ("blouse", -16, 16, 34, 72), ("watch", 12, 16, 60, 66),
              (lower, -12, 12, 72, 116), ("shoes", -12, 12, 116, 132), ("bag", 18, 32, 70, 96)]  # fmt: skip
    picture = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for name, left, right, top, bottom in blocks:
        labels[top:bottom, max(0, x + left) : x + right] = NAMES.index(name)
        picture[labels == NAMES.index(name)] = COLOURS[name]
    places = {0: (0, 24), 1: (0, 36), 2: (-12, 38), 3: (-14, 54), 4: (-14, 68), 5: (12, 38), 6: (14, 54), 7: (14, 68),
              8: (-8, 74), 9: (-8, 96), 10: (-8, 116), 11: (8, 74), 12: (8, 96), 13: (8, 116), 14: (-2, 22),
              15: (2, 22), 16: (-4, 24), 17: (4, 24)}  # fmt: skip
    joints = np.array([(x + dx, y, 1.0) for dx, y in places.values()], np.float32)
    return picture, labels, joints


def write_indexed(folder, labelled: int = 8, test: int = 2, unlabelled: int = 3) -> None:
    """photos/, labels/, index.json; the photograph of a number shows the figure of that seed."""
    names = [f"{number:04d}" for number in range(1, labelled + test + unlabelled + 1)]
    for part in ("photos", "labels"):
        (folder / part).mkdir(parents=True)
    for name in names:
        picture, labels, _ = figure(int(name))
        Image.fromarray(picture).save(folder / "photos" / f"{name}.jpg", quality=98, subsampling=0)
        if int(name) <= labelled + test:
            Image.fromarray(labels).save(folder / "labels" / f"{name}.png")
    split = {
        "train": names[:labelled],
        "test": names[labelled : labelled + test],
        "unlabelled": names[labelled + test :],
    }
    (folder / "index.json").write_text(json.dumps({"labels": NAMES, **split}))


def write_original(folder, numbers) -> None:
    """photos/, annotations/pixel-level/*.mat, label_list.mat."""
    from scipy.io import savemat

    (folder / "photos").mkdir(parents=True)
    (folder / "annotations" / "pixel-level").mkdir(parents=True)
    for number in numbers:
        picture, labels, _ = figure(number)
        Image.fromarray(picture).save(folder / "photos" / f"{number:04d}.jpg", quality=98, subsampling=0)
        savemat(folder / "annotations" / "pixel-level" / f"{number:04d}.mat", {"groundtruth": labels})
    savemat(folder / "label_list.mat", {"label_list": np.array([NAMES], dtype=object)})


def find_joints(picture: np.ndarray) -> np.ndarray:
    """The joints of the figure in a picture, by the place of its blouse."""
    red = (picture.astype(int) - COLOURS["blouse"]).__abs__().sum(2) < 60
    columns = np.flatnonzero(red[40:56].any(0))
    joints = figure(0)[2]
    joints[:, 0] += (columns.min() + columns.max() + 1) / 2 - joints[1, 0]
    return joints
