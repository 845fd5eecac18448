"""The demo's wardrobe: found by words and tried on, found by a garment and a change, and worn from a sketch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ...craft.picture.contact_sheet import contact_sheet
from .demo_graphs import picture, pictures, save, saving, shipped
from .job import Job, changed

# person, words for the top, words for the bottom
LOOKS = (
    (7, "striped shirt", "black skirt"),
    (31, "burgundy blouse with puffed sleeves", "camel trousers"),
    (52, "tee with dots", "navy shorts"),
)
# outfit seed of the garment to start from, what should be different
CHANGES = ((11, "in red"), (23, "with dots"), (35, "longer sleeves"), (47, "v-neck, in navy"))
# person, outfit seed of the garment drawn, its kind, fabric's outfit seed, pattern, colour, outfit seed of the bottom
SKETCHES = (
    (7, 23, "blouse", 35, "dots", "teal", 41),
    (31, 64, "tee", 12, "stripes", "mustard", 58),
    (66, 90, "sweater", 77, "plain", "burgundy", 63),
)
HITS, GARMENTS = 4, 400


def jobs() -> list[Job]:
    made = []
    for person, top, bottom in LOOKS:
        graph = changed(shipped("find_and_try_on"), {
            "Garments": {"count": GARMENTS}, "Person": {"seed": person, "outfit_seed": person + 500},
            "Search a top": {"text": top, "count": HITS},
            "Search a bottom": {"text": bottom, "count": HITS}, "Sample": {"seed": person},
        })  # fmt: skip
        shown = {"person": ("Person", 0), "tops": ("Search a top", 1), "bottoms": ("Search a bottom", 1)}
        made.append(Job("find", saving(graph, shown), f"{top}, {bottom}"))
    for seed, change in CHANGES:
        graph = changed(shipped("same_but_different"), {
            "Garments": {"count": GARMENTS}, "Start from this one": {"outfit_seed": seed},
            "Search": {"text": change, "count": HITS + 2},
        })  # fmt: skip
        shown = {"start": ("Start from this one", 7), "hits": ("Search", 1)}
        made.append(Job("change", saving(graph, shown), change))
    for person, drawn, kind, cloth, pattern, colour, bottom in SKETCHES:
        graph = changed(shipped("sketch_to_outfit"), {
            "Person": {"seed": person, "outfit_seed": person + 500},
            "Garment to sketch": {"outfit_seed": drawn, "top": kind},
            "Fabric": {"outfit_seed": cloth, "top_pattern": pattern, "top_colour": colour},
            "Bottom": {"outfit_seed": bottom}, "Sample": {"seed": person},
        })  # fmt: skip
        shown = {
            "person": ("Person", 0),
            "drawing": ("Sketch", 0),
            "cloth": ("Fabric", 12),
            "filled": ("Fill sketch", 0),
        }
        made.append(Job("sketch", saving(graph, shown), f"{kind}, {colour} {pattern}"))
    return made


def sheets(jobs: list[Job], output: Path) -> list[Path]:
    """One sheet for each of the three workflows, a row a run."""
    found, looked, drawn = ([job for job in jobs if job.name == name] for name in ("find", "change", "sketch"))
    made, names = [], []
    for job in found:
        top, bottom = job.label.split(", ")
        tops, bottoms = fitted(pictures(job, "tops"), HITS), fitted(pictures(job, "bottoms"), HITS)
        made += [picture(job, "person"), *tops, *bottoms, picture(job, "save")]
        names += ["", f'"{top}"', *[""] * (HITS - 1), f'"{bottom}"', *[""] * (HITS - 1), "the first of each, worn"]
    rows = [("wardrobe_find_and_try_on", "find by words and try on", made, names, 2 * HITS + 2)]
    made, names = [], []
    for job in looked:
        made += [closer(picture(job, "start")), *fitted(pictures(job, "hits"), HITS + 2)]
        names += [f'this, but "{job.label}"', *[""] * (HITS + 2)]
    rows.append(("wardrobe_same_but_different", "same but different", made, names, HITS + 3))
    made, names = [], []
    for job in drawn:
        made += [closer(picture(job, "drawing")), picture(job, "cloth"), closer(picture(job, "filled"))]
        made += [picture(job, "person"), picture(job, "save")]
        names += ["sketch", "fabric", "sketch and fabric", "", job.label]
    rows.append(("wardrobe_sketch_to_outfit", "sketch to outfit", made, names, 5))
    return [
        save(contact_sheet([resized(one) for one in cells], names, columns=columns, title=f"Atelier: {title}"),
        output / f"{name}.png")
        for name, title, cells, names, columns in rows
    ]  # fmt: skip


def fitted(hits: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Exactly `count` pictures: white ones where a search found fewer."""
    return ([closer(hit) for hit in hits] + [np.full((256, 192, 3), 255, np.uint8)] * count)[:count]


def closer(flat: np.ndarray) -> np.ndarray:
    """A flat-lay without its empty paper."""
    rows, columns = np.nonzero(flat.min(2) < 245)
    if not len(rows):
        return flat
    return flat[max(0, rows.min() - 6) : rows.max() + 7, max(0, columns.min() - 6) : columns.max() + 7]


def resized(array: np.ndarray, width: int = 192, height: int = 256) -> np.ndarray:
    """Fitted into one cell on white."""
    image = Image.fromarray(array)
    scale = min(width / image.width, height / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (width, height), "white")
    cell.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return np.asarray(cell)
