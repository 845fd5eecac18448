"""The .safetensors of a model folder: which there are, what they hold, by their headers alone."""

from __future__ import annotations

import math
from pathlib import Path

from safetensors import SafetensorError, safe_open


def weight_files(folder: Path) -> list[Path]:
    """The folder's .safetensors, by name. Raises ValueError for one that is no regular file."""
    files = sorted(path for path in Path(folder).iterdir() if path.suffix == ".safetensors")
    for path in files:
        if not path.is_file():
            raise ValueError(f"{path.parent.name}/{path.name} is no regular file; copy the weights again.")
    return files


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a file. Raises ValueError for a damaged one."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError) as problem:
        raise ValueError(
            f"{path.parent.name}/{path.name} is damaged or no safetensors file ({problem}); copy it again."
        ) from problem


def elements_in(folder: Path) -> int:
    """How many numbers the folder's .safetensors hold together."""
    return sum(math.prod(shape) for path in weight_files(folder) for shape in shapes_in(path).values())
