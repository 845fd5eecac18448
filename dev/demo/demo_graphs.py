"""What the parts of the demo share: shipped graphs, more saved pictures in them, and reading those back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...craft.whole_files import save_picture
from ..publish.workflow_files import ROOT, load_api
from .job import Job


@dataclass(frozen=True)
class Part:
    name: str
    jobs: Callable[[], list[Job]]
    sheets: Callable[[list[Job], Path], list[Path]]


def shipped(name: str) -> dict:
    return load_api(ROOT / "workflows" / "api" / f"{name}.json")[2]


def saving(graph: dict, shown: dict[str, tuple[str, int]]) -> dict:
    """The graph with more Save Image nodes. shown: title of the new node -> (title of a node, its output)."""
    by_title = {(entry.get("_meta") or {}).get("title"): key for key, entry in graph.items()}
    for number, (title, (source, slot)) in enumerate(shown.items()):
        graph[f"shown{number}"] = {
            "class_type": "SaveImage",
            "inputs": {"images": [by_title[source], slot], "filename_prefix": title},
            "_meta": {"title": title},
        }
    return graph


def picture(job: Job, title: str) -> np.ndarray:
    """What the Save Image node of a title saved in a run, uint8 [H,W,3]."""
    path = next(path for path in job.pictures if f"_{title}_" in path.name)
    return np.asarray(Image.open(path).convert("RGB"))


def pictures(job: Job, title: str) -> list[np.ndarray]:
    """All pictures of a batch that the Save Image node of a title saved in a run, in order."""
    paths = [path for path in job.pictures if f"_{title}_" in path.name]
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def save(sheet: np.ndarray, path: Path) -> Path:
    save_picture(path, Image.fromarray(sheet))
    return path
