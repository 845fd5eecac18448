"""What the demo shows: for each part the runs of shipped graphs and the sheets made of their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ...craft.picture.contact_sheet import contact_sheet
from . import demo_design, demo_edit, demo_wardrobe
from .demo_graphs import Part, picture, save, saving, shipped
from .job import Job, changed

# ------------------------------------------------------------------------------------------------ try-on
# person, outfit seed, top, its pattern, bottom, its pattern
LOOKS = (
    (4, 11, "shirt", "stripes", "trousers", "plain"),
    (12, 22, "blouse", "plain", "skirt", "checks"),
    (23, 35, "tee", "dots", "shorts", "plain"),
    (31, 41, "sweater", "checks", "trousers", "plain"),
    (47, 58, "tank", "plain", "skirt", "floral"),
    (52, 63, "jacket", "plain", "trousers", "stripes"),
    (66, 71, "blouse", "floral", "shorts", "plain"),
    (78, 84, "tee", "print", "skirt", "stripes"),
)


def try_on_jobs() -> list[Job]:
    jobs = []
    for person, outfit, top, top_pattern, bottom, bottom_pattern in LOOKS:
        wardrobe = {"seed": outfit, "outfit_seed": outfit, "top": top, "bottom": bottom,
                    "top_pattern": top_pattern, "bottom_pattern": bottom_pattern}  # fmt: skip
        graph = changed(
            shipped("try_on_two_garments"),
            {"Person": {"seed": person, "outfit_seed": person + 500}, "Wardrobe": wardrobe, "Sample": {"seed": person}},
        )
        graph = saving(graph, {"person": ("Person", 0), "top": ("Wardrobe", 7), "bottom": ("Wardrobe", 8)})
        jobs.append(Job("try-on", graph, f"{top_pattern} {top}, {bottom_pattern} {bottom}"))
    return jobs


def garment_card(*flats: np.ndarray) -> np.ndarray:
    """Flat-lays without their empty paper, one above the other on one card of the flat-lays' size."""
    height, width = flats[0].shape[:2]
    card = Image.new("RGB", (width, height), "white")
    for index, flat in enumerate(flats):
        rows, columns = np.nonzero(flat.min(2) < 245)
        cut = Image.fromarray(flat).crop((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        room = (width - 16, height // len(flats) - 12)
        scale = min(room[0] / cut.width, room[1] / cut.height)
        cut = cut.resize(
            (max(1, round(cut.width * scale)), max(1, round(cut.height * scale))), Image.Resampling.LANCZOS
        )
        card.paste(cut, ((width - cut.width) // 2, round((index + 0.5) * height / len(flats) - cut.height / 2)))
    return np.asarray(card)


def try_on_sheets(jobs: list[Job], output: Path) -> list[Path]:
    """A column a look: the person, the two garments, the result."""
    people, results = ([picture(job, title) for job in jobs] for title in ("person", "save"))
    garments = [garment_card(picture(job, "top"), picture(job, "bottom")) for job in jobs]
    labels = [""] * 2 * len(jobs) + [job.label for job in jobs]
    sheet = contact_sheet(
        [*people, *garments, *results], labels, columns=len(jobs), title="Atelier: try-on, studio preview"
    )
    return [save(sheet, output / "try_on.png")]


# ------------------------------------------------------------------------------------------------ masks
def mask_jobs() -> list[Job]:
    return [Job("masks", shipped("masks_from_the_body"))]


def mask_sheets(jobs: list[Job], output: Path) -> list[Path]:
    pictures = [np.asarray(Image.open(path).convert("RGB")) for job in jobs for path in job.pictures]
    return (
        [save(contact_sheet(pictures, title="Atelier: masks from the body"), output / "masks.png")] if pictures else []
    )


PARTS = (
    Part("try-on", try_on_jobs, try_on_sheets),
    Part("design", demo_design.jobs, demo_design.sheets),
    Part("edit", demo_edit.jobs, demo_edit.sheets),
    Part("wardrobe", demo_wardrobe.jobs, demo_wardrobe.sheets),
)
