"""The demo's *Concept to design*: from words to drafts, a pick, and what each stage of the timetable adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...craft.picture.contact_sheet import contact_sheet
from .demo_graphs import picture, pictures, save, saving, shipped
from .job import Job, changed

STRIP_STEPS = 12


@dataclass(frozen=True)
class Design:
    """seed: of the drafts; pick: the number of the draft to go on with."""

    concept: str
    attributes: tuple[str, ...]
    seed: int
    pick: int


DESIGNS = (
    Design(
        "Blouse and Skirt, teal Blouse and mustard Skirt, plain Blouse and floral Skirt, loose fit, Playful Feeling",
        ("Long", "Long Sleeve", "Puffed Sleeve", "V-Neck", "Ruffle Hem"), 11, 1,
    ),
    Design(
        "Dress, red and white, dotted, slim fit, Elegant",
        ("Knee-length", "Short Sleeve", "Regular Sleeve", "Square Collar", "Flared Hem"), 12, 1,
    ),
    Design(
        "Jacket and Pant, navy Jacket and sand Pant, striped Jacket and plain Pant, regular fit, Casual",
        ("Long", "Long Sleeve", "Regular Sleeve", "Lapel Collar", "Flat Hem"), 13, 1,
    ),
    Design(
        "T-shirt and Shorts, coral T-shirt and denim Shorts, plain T-shirt and plain Shorts, regular fit, Casual",
        ("Short", "Elbow-length Sleeve", "Regular Sleeve", "Round Collar", "Curved Hem"), 14, 1,
    ),
)  # fmt: skip


def jobs() -> list[Job]:
    return [Job("design", _graph(design), design.concept.split(",")[0]) for design in DESIGNS]


def _graph(design: Design) -> dict:
    """The shipped graph with this design's words; beside it the pick's noise drawn with 0, 1, 2 ... attributes."""
    graph = changed(
        shipped("concept_to_design"),
        {
            "Concept and attributes": {"concept": design.concept, "attributes": "\n".join(design.attributes)},
            "Drafts": {"seed": design.seed},
            "Pick here": {"pick": str(design.pick)},
            "Finish": {"seed": design.seed},
        },
    )
    keys = {entry["_meta"]["title"]: key for key, entry in graph.items()}
    designer, rescaled, words = keys["Designer"], keys["Colours as said"], graph[keys["Concept and attributes"]]
    sampling = {name: graph[keys["Finish"]]["inputs"][name] for name in ("cfg", "scheduler")}
    same_noise = {"samples": [keys["Eight drafts"], 0], "batch_index": design.pick - 1, "length": 1}
    graph["noise"] = {"class_type": "LatentFromBatch", "inputs": same_noise, "_meta": {"title": "The pick's noise"}}
    for count in range(len(design.attributes) + 1):
        said = {**words["inputs"], "attributes": "\n".join(design.attributes[:count])}
        graph |= _stage(count, {**words, "inputs": said}, rescaled, designer, design.seed, sampling)
    shown = {f"stage{count}": (f"Stage {count}", 0) for count in range(len(design.attributes) + 1)}
    return saving(graph, {"drafts": ("Drafts", 1), **shown})


def _stage(count: int, words: dict, model: str, designer: str, seed: int, sampling: dict) -> dict:
    says, draws, shows = f"says{count}", f"draws{count}", f"shows{count}"
    settings = {"seed": seed, "steps": STRIP_STEPS, "sampler_name": "euler", "denoise": 1.0, **sampling}
    # the concept alone against the same negative as the rest: what differs is what attributes do
    against = says if count else "says1"
    links = {"model": [model, 0], "positive": [says, 0], "negative": [against, 1], "latent_image": ["noise", 0]}
    return {
        says: {**words, "_meta": {"title": f"Words {count}"}},
        draws: {"class_type": "KSampler", "inputs": {**links, **settings}, "_meta": {"title": f"Draw {count}"}},
        shows: {"class_type": "VAEDecode", "inputs": {"samples": [draws, 0], "vae": [designer, 2]},
                "_meta": {"title": f"Stage {count}"}},
    }  # fmt: skip


def sheets(jobs: list[Job], output: Path) -> list[Path]:
    """Two sheets: for each design its stages and the finished picture, and for each design its drafts."""
    stages, drafts = [], []
    for job, design in zip(jobs, DESIGNS, strict=True):
        strip = [picture(job, f"stage{count}") for count in range(len(design.attributes) + 1)]
        added = (f"+ {attribute}" for attribute in design.attributes)
        labels = ["the concept", *added, f"draft {design.pick}, finished"]
        finished = picture(job, "result")
        stages.append(contact_sheet([*strip, finished], labels, columns=len(labels), title=design.concept))
        marks = [f"{n}: the pick" if n == design.pick else str(n) for n in range(1, len(pictures(job, "drafts")) + 1)]
        drafts.append(contact_sheet(pictures(job, "drafts"), marks, columns=len(marks), title=design.concept))
    return [
        save(np.concatenate(stages), output / "concept_to_design.png"),
        save(np.concatenate(drafts), output / "concept_to_design_drafts.png"),
    ]
