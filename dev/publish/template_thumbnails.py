"""Pictures of the shipped workflows for the host's list of templates: <Title>.jpg beside <Title>.json, from real runs.

    python dev.py thumbnails [TITLE ...]

A graph is run as it is shipped. Of a graph that needs an artist's own files only the part before them is run, and its
thumbnail shows what goes in; where nothing is left to run, a graph that makes the same with the studio networks is.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image

from ...craft.whole_files import write_bytes
from ..client import Client, GraphRefused
from ..setup.host_files import find_host
from ..setup.host_process import HostProcess
from .workflow_files import ROOT, input_specs, is_link, load_api

SIDE, WIDEST, MARGIN, BYTES = 256, 512, 8, 40_000
PAPER = (250, 248, 245)
_OUTFIT = (("Person", "person"), ("Clothes", "top"), ("Clothes", "bottom_or_dress"), ("Where clothes go", "mask"))
# What a thumbnail shows, from left to right: the pictures of a node that shows some, by its title, or (title, output).
# A graph that is not here shows all that it saves.
SHOWN = {
    "Bound attributes": ("Result", "Maps"),
    "Concept to design": ("Pick here", "Result"),
    "Croquis": ("Save the figure", "Pose", "Part labels", "Sketch"),
    "Describe a garment": (("Garment", "top"), "Sketch", "Palette"),
    "Design on a pose": ("The pose", "Designs"),
    "Edit attributes": (("Figure", "person"), "Save length", "Save sleeve", "Save collar", "Save hem"),
    "Fabric from a picture": (("Swatch", "swatch"), "Result"),
    "Find and try on": (("Person", "person"), ("Top", "picture"), ("Bottom", "picture"), "Save"),
    "HieraFashDiff draft with pose": (("Figure", "person"), ("Figure", "pose")),
    "HieraFashDiff edit of a part": (("Figure", "person"), ("Part", "mask")),
    "Ideas from the generator": ("Alone", "With ideas, board"),
    "Masks from the body": (("Croquis", "person"), "Part labels", "Sleeve mask", "Try-on mask"),
    "Outfit with FLUX Kontext": _OUTFIT,
    "Outfit with Qwen-Image-Edit": _OUTFIT,
    "Same but different": (("Start from this one", "top"), "Hits"),
    "Sketch to outfit": (("Person", "person"), "Sketch and cloth", "Save"),
    "Sketch to outfit, your checkpoint": (("Person", "person"), ("Sketch", "sketch")),
}
# Graphs of which nothing runs without an artist's own files: they show what their twin with the studio networks makes.
TWINS = {
    "Caption a photograph": "Describe a garment",
    "Concept to design, your checkpoint": "Concept to design",
    "Drafts ranked": "Ideas from the generator",
    "Measure a search": "Same but different",
    "Sketch by zero cross-attention": "Sketch to outfit",
}


def run(args: list[str]) -> int:
    """Make the thumbnails of the named workflows, of all without a name. Returns 1 when one could not be made."""
    failed = 0
    with tempfile.TemporaryDirectory() as base, HostProcess(find_host(ROOT), ROOT, Path(base)) as process:
        info = process.get("/object_info")
        files = sorted((ROOT / "workflows" / "api").glob("*.json"))
        graphs = {title: graph for title, _, graph in map(load_api, files)}
        for title in graphs:
            if args and title not in args:
                continue
            try:
                shown = TWINS.get(title, title)
                pictures = _pictures(process.client, graphs[shown], info, SHOWN.get(shown, ()))
                target = ROOT / "workflows" / f"{title}.jpg"
                write_bytes(target, thumbnail(pictures))
                print(f"{title}: {len(pictures)} pictures, {target.stat().st_size / 1000:.0f} kB", flush=True)
            except (GraphRefused, ValueError) as problem:
                failed += 1
                print(f"{title}: no thumbnail: {problem}", flush=True)
    return int(bool(failed))


def _pictures(client: Client, graph: dict, info: dict, shown: tuple) -> list[Image.Image]:
    part = runnable(graph, info)
    keys = [_showing(part, info, one) for one in shown]
    outputs = client.run(part).outputs
    if not keys:
        keys = [[key for key, entry in part.items() if entry["class_type"] == "SaveImage"]]
    files = [file for group in keys for key in group for file in outputs.get(key, {}).get("images", [])]
    return [Image.open(io.BytesIO(client.fetch(file))).convert("RGB") for file in files]


def _showing(part: dict, info: dict, what: str | tuple[str, str]) -> list[str]:
    """The keys of the nodes that show it; for (title, output) a preview is added to the part. Raises ValueError."""
    title = what if isinstance(what, str) else what[0]
    found = [key for key, entry in part.items() if (entry.get("_meta") or {}).get("title") == title]
    if not found:
        raise ValueError(f"the part that runs has no node titled {title!r}")
    if isinstance(what, str):
        return found
    names = info[part[found[0]]["class_type"]]["output_name"]
    if what[1] not in names:
        raise ValueError(f"{title!r} has no output {what[1]!r}; it has {names}")
    slot = names.index(what[1])
    source, key = [found[0], slot], f"shown {found[0]} {slot}"
    if info[part[found[0]]["class_type"]]["output"][slot] == "MASK":
        part[f"{key} picture"] = {"class_type": "MaskToImage", "inputs": {"mask": source}}
        source = [f"{key} picture", 0]
    part[key] = {"class_type": "PreviewImage", "inputs": {"images": source}}
    return [key]


def runnable(graph: dict, info: dict) -> dict:
    """The nodes that this host can run: all choices of theirs and of the nodes before them are there."""
    good: dict[str, bool] = {}

    def runs(key: str) -> bool:
        if key not in good:
            entry = graph[key]
            specs = input_specs(info[entry["class_type"]])
            good[key] = all(
                runs(value[0]) if is_link(value) else not isinstance(specs[name][0], list) or value in specs[name][0]
                for name, value in entry["inputs"].items()
            )
        return good[key]

    return {key: entry for key, entry in graph.items() if runs(key)}


def thumbnail(pictures: list[Image.Image]) -> bytes:
    """Pictures side by side on paper, SIDE high, as a JPG of at most BYTES. Raises ValueError without pictures."""
    if not pictures:
        raise ValueError("the run made no picture")
    scaled = [_fitted(picture) for picture in pictures]
    width = MARGIN + sum(one.width + MARGIN for one in scaled)
    strip = Image.new("RGB", (width, SIDE + 2 * MARGIN), PAPER)
    left = MARGIN
    for one in scaled:
        strip.paste(one, (left, MARGIN + (SIDE - one.height) // 2))
        left += one.width + MARGIN
    strip.thumbnail((800, strip.height), Image.Resampling.LANCZOS)
    for quality in range(90, 20, -5):
        file = io.BytesIO()
        strip.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= BYTES:
            break
    return file.getvalue()


def _fitted(picture: Image.Image) -> Image.Image:
    scale = min(SIDE / picture.height, WIDEST / picture.width)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
