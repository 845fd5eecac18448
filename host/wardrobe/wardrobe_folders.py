"""Where wardrobes and encoders lie: below the host's own folders, and never outside of them."""

from __future__ import annotations

import os

import folder_paths

from ...craft.whole_files import make_folder

ENCODERS, WARDROBES, CAPTIONERS = "atelier_encoders", "atelier_wardrobe", "atelier_captioners"
PLACES = ("input", "output", "wardrobe")


def register() -> None:
    """Tell the host of models/atelier/{encoders,wardrobe,captioners}; paths that the user added earlier stay."""
    for name, folder in ((ENCODERS, "encoders"), (WARDROBES, "wardrobe"), (CAPTIONERS, "captioners")):
        path = os.path.join(folder_paths.models_dir, "atelier", folder)
        known = folder_paths.folder_names_and_paths.get(name, ([], set()))[0]
        if path not in known:
            folder_paths.add_model_folder_path(name, path)


def model_folders(kind: str, markers: tuple[str, ...]) -> list[str]:
    """Names of the subfolders of a registered model folder that hold one of the marker files (or end in its suffix)."""
    register()
    names = set()
    for root in folder_paths.get_folder_paths(kind):
        if os.path.isdir(root):
            for entry in os.scandir(root):
                if entry.is_dir() and any(file.endswith(markers) for file in os.listdir(entry.path)):
                    names.add(entry.name)
    return sorted(names)


def model_folder(kind: str, name: str) -> str:
    """The full path of such a subfolder. Raises ValueError when there is none."""
    register()
    roots = folder_paths.get_folder_paths(kind)
    for root in roots:
        path = inside(root, name)
        if os.path.isdir(path):
            return path
    raise ValueError(f"There is no folder {name!r} in {' or '.join(roots)}: put the model's folder there.")


def wardrobe_folder(place: str, folder: str, *, create: bool = False) -> str:
    """The pictures' folder below the host's input or output folder or models/atelier/wardrobe."""
    register()
    roots = {
        "input": [folder_paths.get_input_directory()],
        "output": [folder_paths.get_output_directory()],
        "wardrobe": folder_paths.get_folder_paths(WARDROBES),
    }
    if place not in roots:
        raise ValueError(f"A wardrobe lies in one of {', '.join(PLACES)}, not in {place!r}.")
    paths = [inside(root, folder) for root in roots[place]]
    for path in paths:
        if os.path.isdir(path):
            return path
    if create:
        make_folder(paths[0])
        return paths[0]
    raise ValueError(
        f"There is no folder {folder!r} in the host's {place} folder ({paths[0]}): make it and put pictures in."
    )


def inside(root: str, folder: str) -> str:
    """The real path of `folder` below `root`. Raises ValueError for anything that leads out, links included."""
    base = os.path.realpath(root)
    path = os.path.realpath(os.path.join(base, folder.strip() or "."))
    if path != base and not path.startswith(base.rstrip(os.sep) + os.sep):
        raise ValueError(f"The folder {folder!r} leads out of {base}: give a folder inside it.")
    return path
