"""Where Atelier's models live: folders registered with the host, so that extra_model_paths.yaml works for them too."""

from __future__ import annotations

import os

import folder_paths

SUFFIXES = {".safetensors"}


def register(kind: str) -> str:
    """Register `models/atelier/<kind>` under the name `atelier_<kind>`, keeping folders that the user's yaml has added.

    Returns the registered name. Calling it again changes nothing.
    """
    name = f"atelier_{kind}"
    own = os.path.join(folder_paths.models_dir, "atelier", kind)
    paths, suffixes = folder_paths.folder_names_and_paths.get(name, ([], set()))
    if own not in paths or suffixes != SUFFIXES:
        folder_paths.folder_names_and_paths[name] = ([own, *(path for path in paths if path != own)], SUFFIXES)
    return name


def paths(kind: str) -> list[str]:
    """The folders that are searched for models of this kind, whether they exist or not."""
    return folder_paths.get_folder_paths(register(kind))


def pretty(kind: str) -> str:
    """The first folder as a user knows it, for messages."""
    return f"ComfyUI/models/atelier/{kind}"
