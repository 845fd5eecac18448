"""Labelled photographs for the photo parser: Clothing Co-Parsing (CCP: Yang, Luo, Lin, CVPR 2014), in two layouts.

The original one has photos/0001.jpg, annotations/pixel-level/0001.mat and label_list.mat; the other one photos/,
labels/0001.png and index.json, which names the labels and the split. Photographs, labels and joints are kept as
memory-mapped files beside the run, so that a batch costs no decoding.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ....models.studio.photo_parser import CLASSES

HEIGHT = 576  # taller photographs are shrunk to it
VALIDATION = 80  # photographs of `train` that are held out
OTHER, OUTSIDE = 254, 255  # part of the person but of no class; no pixel of the photograph
SPLIT = Path(__file__).with_name("clothing_parsing_split.json")

# Every label of CCP and the class it teaches. Where a name is used for more than one kind of garment, looking at the
# photographs decided: "suit" is nearly always the jacket alone, "cape" whatever hangs over the rest, "vest" tank tops
# as well as sleeveless jackets, "bodysuit" mostly tight tops, "romper" one piece with legs.
TEACHES = {
    "background": ("null",),
    "hair": ("hair",),
    "skin": ("skin",),
    "hat": ("hat",),
    "glasses": ("glasses", "sunglasses"),
    "top": (
        "blouse", "bodysuit", "bra", "hoodie", "jumper", "shirt", "sweater", "sweatshirt", "t-shirt", "tie", "top",
        "vest",
    ),
    "outer": ("blazer", "cape", "cardigan", "coat", "jacket", "suit"),
    "dress": ("dress", "romper"),
    "skirt": ("skirt",),
    "trousers": ("jeans", "leggings", "pants", "shorts", "swimwear", "panties"),
    "tights": ("socks", "stockings", "tights"),
    "belt": ("belt",),
    "shoes": (
        "boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers", "wedges",
    ),
    "bag": ("bag", "purse", "wallet"),
    "scarf": ("scarf",),
    # Jewellery, gloves and the like: part of the person, taught as nothing.
    "": ("accessories", "bracelet", "earrings", "gloves", "intimate", "necklace", "ring", "watch"),
}  # fmt: skip


def class_table(names: list[str]) -> np.ndarray:
    """uint8 [256] from a data set's label numbers, given its label names, to `CLASSES`. Raises ValueError for a label
    that `TEACHES` does not know.
    """
    number = {label: CLASSES.index(name) if name else OTHER for name, labels in TEACHES.items() for label in labels}
    strangers = [name for name in names if name not in number]
    if strangers:
        raise ValueError(
            f"The labels {', '.join(strangers[:5])} are not among the 59 of Clothing Co-Parsing; give a folder of that"
            " data set."
        )
    table = np.full(256, OUTSIDE, np.uint8)
    table[: len(names)] = [number[name] for name in names]
    return table


@dataclass(frozen=True)
class PhotoFolder:
    """names by split (train, validation, test, unlabelled) and functions that read a photograph or its labels."""

    splits: dict[str, tuple[str, ...]]
    table: np.ndarray
    photo_path: Callable[[str], Path]
    read_numbers: Callable[[str], np.ndarray]

    def photo(self, name: str) -> np.ndarray:
        """uint8 [H,W,3], at most `HEIGHT` rows."""
        picture = Image.open(self.photo_path(name)).convert("RGB")
        return np.asarray(_lowered(picture, Image.Resampling.BOX))

    def labels(self, name: str) -> np.ndarray:
        """uint8 [H,W] of the same size: numbers of `CLASSES`, or OTHER."""
        numbers = Image.fromarray(self.table[self.read_numbers(name)])
        return np.asarray(_lowered(numbers, Image.Resampling.NEAREST))


def _lowered(picture: Image.Image, filtering: Image.Resampling) -> Image.Image:
    if picture.height <= HEIGHT:
        return picture
    return picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), filtering)


def open_folder(folder: Path) -> PhotoFolder:
    """A data folder in either layout. Raises ValueError where it is neither."""
    if (folder / "index.json").is_file():
        return _indexed(folder)
    if (folder / "annotations" / "pixel-level").is_dir():
        return _original(folder)
    raise ValueError(
        f"{folder} holds neither index.json nor annotations/pixel-level; give the folder of Clothing Co-Parsing."
    )


def _indexed(folder: Path) -> PhotoFolder:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    splits = {name: tuple(index.get(name, ())) for name in ("train", "test", "unlabelled")}

    def numbers(name: str) -> np.ndarray:
        return np.asarray(Image.open(folder / "labels" / f"{name}.png"))

    return PhotoFolder(
        with_validation(splits), class_table(index["labels"]), lambda name: folder / "photos" / f"{name}.jpg", numbers
    )


def _original(folder: Path) -> PhotoFolder:
    from scipy.io import loadmat

    maps, held = folder / "annotations" / "pixel-level", json.loads(SPLIT.read_text(encoding="utf-8"))
    lists = sorted(folder.rglob("label_list.mat"))
    if not lists:
        raise ValueError(f"There is no label_list.mat in {folder}; give the whole folder of Clothing Co-Parsing.")
    names = [str(np.ravel(entry)[0]) for entry in loadmat(lists[0])["label_list"].ravel()]
    labelled = sorted(path.stem for path in maps.glob("*.mat"))
    apart = {*held["test"], *held["kept_back"]}
    splits = {
        "train": tuple(name for name in labelled if name not in apart),
        "test": tuple(name for name in labelled if name in held["test"]),
        "unlabelled": tuple(
            sorted(path.stem for path in (folder / "photos").glob("*.jpg") if path.stem not in {*labelled, *apart})
        ),
    }
    return PhotoFolder(
        with_validation(splits),
        class_table(names),
        lambda name: folder / "photos" / f"{name}.jpg",
        lambda name: loadmat(maps / f"{name}.mat", variable_names=["groundtruth"])["groundtruth"].astype(np.uint8),
    )


def with_validation(splits: dict[str, tuple[str, ...]], count: int = VALIDATION) -> dict[str, tuple[str, ...]]:
    """Takes `count` photographs, at most every second one, out of `train`, always the same ones."""
    train = splits["train"]
    order = np.random.default_rng(5).permutation(len(train))[: min(count, len(train) // 2)]
    held = {train[index] for index in order}
    return {
        "train": tuple(name for name in train if name not in held),
        "validation": tuple(name for name in train if name in held),
        "test": splits["test"],
        "unlabelled": splits["unlabelled"],
    }


@dataclass(frozen=True)
class Photos:
    """pictures uint8 [N,H,W,3], the border going on to the right and below; sizes int [N,2] (width, height) without
    it; labels uint8 [N,H,W] of `CLASSES`, OTHER, OUTSIDE, or None; joints float32 [N,18,3] in pixels.
    """

    names: tuple[str, ...]
    pictures: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray | None
    joints: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


def cached(
    data: PhotoFolder, split: str, cache: Path, open_joints: Callable[[], Callable[[np.ndarray], np.ndarray]]
) -> Photos:
    """The photographs of a split, read once into `cache` and memory-mapped. open_joints: gives a function from a
    picture to the joints [18,3] of its person; called only where they are not known yet.
    """
    names, folder = data.splits[split], cache / split
    listed = folder / "names.json"
    if not listed.is_file() or tuple(json.loads(listed.read_text())) != names:
        folder.mkdir(parents=True, exist_ok=True)
        _read(data, split, folder, open_joints())
        listed.write_text(json.dumps(names))
    labels = folder / "labels.npy"
    return Photos(
        names,
        np.load(folder / "pictures.npy", mmap_mode="r"),
        np.load(folder / "sizes.npy"),
        np.load(labels, mmap_mode="r") if labels.is_file() else None,
        np.load(folder / "joints.npy"),
    )


def _read(data: PhotoFolder, split: str, folder: Path, find: Callable[[np.ndarray], np.ndarray]) -> None:
    names = data.splits[split]
    sizes = []
    for name in names:
        with Image.open(data.photo_path(name)) as opened:
            width, height = opened.size
        sizes.append((round(width * min(1, HEIGHT / height)), min(height, HEIGHT)))
    wide, tall = (max((size[k] for size in sizes), default=1) for k in (0, 1))
    pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, (len(names), tall, wide, 3))
    labels = None
    if split != "unlabelled":
        labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint8, (len(names), tall, wide))
    joints = np.zeros((len(names), 18, 3), np.float32)
    for index, name in enumerate(names):
        picture = data.photo(name)
        border = ((0, tall - picture.shape[0]), (0, wide - picture.shape[1]))
        pictures[index] = np.pad(picture, (*border, (0, 0)), mode="edge")
        joints[index] = find(picture)
        if labels is not None:
            labels[index] = np.pad(data.labels(name), border, constant_values=OUTSIDE)
        if (index + 1) % 100 == 0:
            print(f"{split}: {index + 1} of {len(names)} photographs read", flush=True)
    np.save(folder / "sizes.npy", np.asarray(sizes))
    np.save(folder / "joints.npy", joints)
