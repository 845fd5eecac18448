"""The demo's *Edit attributes*: a drawn figure through length, sleeve, collar and hem, with a picture after each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...craft.picture.contact_sheet import contact_sheet
from .demo_graphs import picture, save, saving, shipped
from .job import Job, changed

EDITS = ("length", "sleeve", "collar", "hem")
MARK = np.array([230, 60, 120])


@dataclass(frozen=True)
class Figure:
    """seed: body and pose; worn: what the figure wears, in words; before and after: its length, sleeve length, sleeve
    type, collar and hem.
    """

    seed: int
    outfit_seed: int
    colour: str
    arms: str
    worn: str
    before: tuple[str, ...]
    after: tuple[str, ...]


FIGURES = (
    Figure(
        12, 2266, "sky", "down", "Dress, sky, plain, regular fit, Casual",
        ("Short", "Short Sleeve", "Regular Sleeve", "Round Collar", "Flat Hem"),
        ("Long", "Long Sleeve", "Regular Sleeve", "V-Neck", "Ruffle Hem"),
    ),
    Figure(
        23, 3290, "forest", "down", "Dress, forest, plain, loose fit, Playful Feeling",
        ("Knee-length", "Short Sleeve", "Regular Sleeve", "Boat Neck", "Flat Hem"),
        ("Long", "Long Sleeve", "Regular Sleeve", "Lapel Collar", "Slit Hem"),
    ),
    Figure(
        31, 3317, "burgundy", "hip", "Dress, burgundy, plain, slim fit, Elegant",
        ("Short", "Short Sleeve", "Regular Sleeve", "Round Collar", "Flat Hem"),
        ("Knee-length", "Long Sleeve", "Regular Sleeve", "V-Neck", "Wavy Hem"),
    ),
)  # fmt: skip
# where a length ends, as the mask editor counts: 0 shoulder or hip, 0.5 elbow or knee, 1 wrist or ankle
ENDS = {
    "Ultra-short": 0.2, "Short": 0.35, "Knee-length": 0.55, "Mid-length": 0.8, "Long": 1.0, "Sleeveless": 0.1,
    "Short Sleeve": 0.35, "Elbow-length Sleeve": 0.55, "Mid-length Sleeve": 0.8, "Long Sleeve": 1.0,
}  # fmt: skip
PLACES = {"length": (0,), "sleeve": (1, 2), "collar": (3,), "hem": (4,)}  # what each edit changes of the five


def wordings(figure: Figure) -> list[str]:
    """The whole description after each edit."""
    said, out = list(figure.before), []
    for edit in EDITS:
        for place in PLACES[edit]:
            said[place] = figure.after[place]
        out.append(", ".join([figure.worn, *said]))
    return out


def jobs() -> list[Job]:
    jobs = []
    for figure in FIGURES:
        words = {f"{edit.capitalize()} in words": {"text": text} for edit, text in zip(EDITS, wordings(figure))}
        drawn = {
            "seed": figure.seed,
            "outfit_seed": figure.outfit_seed,
            "top_colour": figure.colour,
            "arms": figure.arms,
        }
        masks = {
            "Length mask": {"target_length": ENDS[figure.after[0]]},
            "Sleeve mask": {"target_length": ENDS[figure.after[1]]},
        }
        graph = changed(shipped("edit_attributes"), {"Figure": drawn, **words, **masks})
        jobs.append(Job("edit", _with_masks(graph), figure.worn.split(", ")[0]))
    return jobs


def _with_masks(graph: dict) -> dict:
    """The graph with the figure and every mask saved as well."""
    keys = {entry["_meta"]["title"]: key for key, entry in graph.items()}
    for edit in EDITS:
        graph[f"shown {edit}"] = {
            "class_type": "MaskToImage",
            "inputs": {"mask": [keys[f"{edit.capitalize()} mask"], 0]},
            "_meta": {"title": f"{edit} mask as picture"},
        }
    masks = {f"mask_{edit}": (f"{edit} mask as picture", 0) for edit in EDITS}
    return saving(graph, {"figure": ("Figure", 0), "found": ("Detect Body", 3), **masks})


def marked(before: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with what may change tinted."""
    inside = (mask[..., :1] > 127).astype(float)
    return (before * (1 - 0.45 * inside) + MARK * 0.45 * inside).astype(np.uint8)


def sheets(jobs: list[Job], output: Path) -> list[Path]:
    """Two rows a figure: the picture after each edit, and above it where that edit may change the one before."""
    rows = []
    for job, figure in zip(jobs, FIGURES, strict=True):
        steps = [picture(job, "figure"), *(picture(job, f"save_{edit}") for edit in EDITS)]
        masks = [marked(before, picture(job, f"mask_{edit}")) for before, edit in zip(steps, EDITS)]
        changes = [" + ".join(figure.after[p] for p in PLACES[edit]) for edit in EDITS]
        labels = ["found by Detect Body", *(f"{edit}: may change" for edit in EDITS), "as drawn", *changes]
        rows.append(
            contact_sheet([picture(job, "found"), *masks, *steps], labels, columns=len(steps), title=figure.worn)
        )
    return [save(np.concatenate(rows), output / "edit_attributes.png")]
