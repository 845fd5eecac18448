"""How well photographs are parsed: intersection over union, pixels of all photographs together."""

from __future__ import annotations

import numpy as np

from ....models.studio.photo_parser import CLASSES
from .street_photos import OTHER, OUTSIDE

# What is reported, and the classes that count as it.
REPORTED = {name: (name,) for name in CLASSES if name not in ("background", "top", "outer")}
REPORTED = {"top": ("top", "outer"), **REPORTED}
BAR_MEAN = ("top", "dress", "skirt", "trousers", "shoes", "bag", "hair", "skin")
BARS = {"mean": 0.70, "top": 0.75, "trousers": 0.75, "shoes": 0.75, "hair": 0.75, "skin": 0.75, "bag": 0.65,
        "person": 0.93}  # fmt: skip


def tally(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixel counts [classes + 1, classes]: truth (last row: OTHER) against labels found, both uint8 [H,W]."""
    seen = truth != OUTSIDE
    rows = np.where(truth == OTHER, len(CLASSES), truth)[seen].astype(np.int64)
    counts = np.bincount(rows * len(CLASSES) + found[seen], minlength=(len(CLASSES) + 1) * len(CLASSES))
    return counts.reshape(len(CLASSES) + 1, len(CLASSES))


def overlaps(counts: np.ndarray) -> dict[str, float]:
    """IoU of each reported class, of `person` (all that is not background) and the bars' `mean`; NaN for a class that
    occurs neither in truth nor in what was found.
    """
    figures = {}
    for name, members in REPORTED.items():
        figures[name] = _overlap(counts, [CLASSES.index(member) for member in members])
    both = counts[1:, 1:].sum()
    figures["person"] = float(both / max(1, counts.sum() - counts[0, 0]))
    figures["mean"] = float(np.mean([figures[name] for name in BAR_MEAN]))
    return figures


def _overlap(counts: np.ndarray, members: list[int]) -> float:
    both = counts[np.ix_(members, members)].sum()
    union = counts[members].sum() + counts[:, members].sum() - both
    return float(both / union) if union else float("nan")


def shortfalls(figures: dict[str, float]) -> list[str]:
    """One entry for each bar that is not reached."""
    return [f"{name} {figures[name]:.3f} < {bar:.2f}" for name, bar in BARS.items() if not figures[name] >= bar]
