"""One run of a shipped graph, and the graph with other input values."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Job:
    """One run of one shipped graph. `changes`: node title -> input values that replace the shipped ones."""

    name: str
    graph: dict
    label: str = ""
    pictures: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    outputs: dict = field(default_factory=dict)


def changed(graph: dict, changes: dict[str, dict]) -> dict:
    """A copy of an API graph in which nodes, named by their titles, get other input values."""
    graph = copy.deepcopy(graph)
    by_title = {(entry.get("_meta") or {}).get("title"): entry for entry in graph.values()}
    for title, values in changes.items():
        if title not in by_title:
            raise KeyError(f"the graph has no node titled {title!r}; it has {sorted(filter(None, by_title))}")
        by_title[title]["inputs"].update(values)
    return graph
