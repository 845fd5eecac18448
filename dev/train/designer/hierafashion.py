"""HieraFashion and EquiFashion-DB on disk: a JSON list of pictures, captions and poses.

    {"gt": "train_images/1.jpg", "caption": "Dress, Elegant, ...", "pose": "train_pose/pose_images/1.jpg"}

HieraFashion has `train.json`, `test.json` and `train_pose.json`, EquiFashion-DB the same keys with sketches and fabrics
beside. As the public loaders do, the list with poses is preferred, and `gt` may be a bare file name. Unlike them, a
missing picture is an error: the published loader trains on the pose drawing, or on black, in its place.
"""

from __future__ import annotations

import json
from pathlib import Path

from .design_record import Design, check_picture, inside, raise_for, split_caption

FOLDERS = ("", "{split}", "images", "gt", "{split}_images")  # where `gt` is looked for
EXTRAS = ("pose", "sketch", "fabric")


def list_of(folder: Path, split: str = "train") -> Path | None:
    """The split's list, the one with poses first; None: the folder is not in this layout."""
    return next((path for name in (f"{split}_pose.json", f"{split}.json") if (path := folder / name).is_file()), None)


def read(folder: Path, split: str = "train") -> list[Design]:
    """The designs of a split, in the list's order. Raises ValueError naming the list and its broken entries."""
    path = list_of(folder, split)
    if path is None:
        raise ValueError(
            f"{folder} holds neither {split}_pose.json nor {split}.json; a HieraFashion folder has one of them."
        )
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path} is not valid JSON ({problem}); copy it again.") from problem
    if not isinstance(entries, list) or not entries:
        found = "an empty list" if entries == [] else type(entries).__name__
        raise ValueError(f"{path} holds {found}; expected is a list of entries with gt and caption.")
    designs, problems = [], []
    for number, entry in enumerate(entries, 1):
        try:
            designs.append(_design(folder, split, entry))
        except ValueError as problem:
            problems.append(f"entry {number}: {problem}")
    raise_for(problems, len(entries), path.name)
    return designs


def _design(folder: Path, split: str, entry: object) -> Design:
    if not isinstance(entry, dict):
        raise ValueError(f"it is {type(entry).__name__}, not an object with gt and caption")
    for key in ("gt", "caption"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise ValueError(f"it has no {key}")
    picture = _find(folder, split, entry["gt"])
    check_picture(picture)
    beside = {}
    for key in EXTRAS:
        if entry.get(key):
            if not isinstance(entry[key], str):
                raise ValueError(f"its {key} is {type(entry[key]).__name__}, not a path")
            beside[key] = inside(folder, entry[key])
            if not beside[key].is_file():
                raise ValueError(f"its {key} {entry[key]} is missing")
            check_picture(beside[key])
    return Design(picture, *split_caption(entry["caption"]), **beside)


def _find(folder: Path, split: str, name: str) -> Path:
    tried = [place.format(split=split) for place in FOLDERS]
    for place in tried:
        if (path := inside(folder / place, name)).is_file():
            return path
    raise ValueError(
        f"its picture {name} is missing (looked in {', '.join(place or 'the folder itself' for place in tried)})"
    )
