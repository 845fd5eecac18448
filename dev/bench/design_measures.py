"""What a drawn design is measured by: attributes and leaks as a classifier reads them, pose, distance to true
figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.studio.attribute_classifier import AttributeClassifier

# Column of the table -> heads of the classifier; colour and pattern count each garment.
COLUMNS: dict[str, tuple[str, ...]] = {
    "length": ("length",),
    "sleeve length": ("sleeve length",),
    "sleeve type": ("sleeve type",),
    "collar": ("collar",),
    "hem": ("hem",),
    "colour": ("top colour", "bottom colour"),
    "pattern": ("top pattern", "bottom pattern"),
}
NEIGHBOURS = 5
STRIPED = "stripes"  # ground and motif of equal width: either of the two named colours may be read as the main one
RESAMPLES = 500


@torch.no_grad()
def read(
    classifier: AttributeClassifier, pictures: Tensor, joints: np.ndarray, chunk: int = 24
) -> tuple[list[dict[str, str]], Tensor]:
    """(what each picture shows, features [N,F]) of pictures [N,3,256,192] in 0..1 with the joints [N,18,3]
    asked for.
    """
    said, features = [], []
    for start in range(0, len(pictures), chunk):
        rows = slice(start, start + chunk)
        found = classifier.features(pictures[rows].float(), torch.from_numpy(joints[rows]).float())
        best = {name: logits.argmax(1).tolist() for name, logits in classifier.answers(found).items()}
        heads = classifier.config.heads
        said += [{name: heads[name][best[name][row]] for name in best} for row in range(len(found))]
        features.append(found[:, : classifier.config.hidden])
    return said, torch.cat(features)


def right(shown: dict[str, str], asked: dict[str, str], head: str) -> bool | None:
    """Whether a picture shows what was asked of one head; None where nothing was. Of stripes either named colour is
    right.
    """
    if head not in asked or (asked["outfit"] == "one piece" and head in ("bottom colour", "bottom pattern")):
        return None
    wanted = {asked[head]}
    place = head.split()[0]
    if head.endswith("colour") and asked.get(f"{place} pattern") == STRIPED:
        wanted.add(asked[f"{place} second colour"])
    return shown[head] in wanted


def by_head(shown: Sequence[dict], asked: Sequence[dict]) -> dict[str, float]:
    """head -> share of the pictures, of those where it was asked, that show it."""
    found = {}
    for head in shown[0]:
        answers = [right(one, wanted, head) for one, wanted in zip(shown, asked, strict=True)]
        found[head] = float(np.mean([answer for answer in answers if answer is not None] or [np.nan]))
    return found


def accuracies(shown: Sequence[dict], asked: Sequence[dict]) -> dict[str, np.ndarray]:
    """column -> for each figure the share of its heads that are right, NaN where nothing was asked."""
    table = {}
    for column, heads in COLUMNS.items():
        values = []
        for one, wanted in zip(shown, asked, strict=True):
            answers = [a for a in (right(one, wanted, head) for head in heads) if a is not None]
            values.append(np.mean(answers) if answers else np.nan)
        table[column] = np.array(values, float)
    return table


def by_figure(table: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The same with one value a figure: the mean over its pictures. rows: which figure each picture is of."""
    found = {}
    for column, values in table.items():
        known = ~np.isnan(values)
        counts = np.bincount(rows[known], minlength=rows.max() + 1)[np.unique(rows)]
        sums = np.bincount(rows[known], values[known], minlength=rows.max() + 1)[np.unique(rows)]
        found[column] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def mean_accuracy(table: dict[str, np.ndarray], rows: np.ndarray | None = None) -> float:
    """Mean over the columns of their accuracies."""
    return float(np.mean([np.nanmean(values if rows is None else values[rows]) for values in table.values()]))


def least_right(table: dict[str, np.ndarray], count: int) -> list[int]:
    """The figures with the smallest share of what was asked of them, the worst first; equals in their order."""
    shares = np.nanmean(np.stack(list(table.values())), 0)
    return np.argsort(shares, kind="stable")[:count].tolist()


def interval(table: dict[str, np.ndarray], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of `mean_accuracy` over figures."""
    return spread(lambda rows: mean_accuracy(table, rows), len(next(iter(table.values()))), seed)


def difference(table: dict[str, np.ndarray], other: dict[str, np.ndarray], seed: int = 0) -> tuple[float, float, float]:
    """(difference of the mean accuracies, its 95 % interval): both measured on the same figures, resampled together."""
    count = len(next(iter(table.values())))
    low, high = spread(lambda rows: mean_accuracy(table, rows) - mean_accuracy(other, rows), count, seed)
    return mean_accuracy(table) - mean_accuracy(other), low, high


def spread(figure, count: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    values = [figure(rng.integers(count, size=count)) for _ in range(RESAMPLES)]
    return tuple(float(v) for v in np.nanpercentile(values, (2.5, 97.5)))


def leaks(shown: Sequence[dict], asked: Sequence[dict]) -> np.ndarray:
    """For every garment of a top and a bottom in different colours: does it carry the other garment's colour?

    Counted where both can be seen, and the main colour that is read is one of the other garment's named colours and
    none of its own.
    """
    found = []
    for one, wanted in zip(shown, asked, strict=True):
        if wanted["outfit"] == "one piece" or not {"top colour", "bottom colour"} <= wanted.keys():
            continue
        own = {place: _colours(wanted, place) for place in ("top", "bottom")}
        for place, other in (("top", "bottom"), ("bottom", "top")):
            if own[other] - own[place]:
                found.append(one[f"{place} colour"] in own[other] - own[place])
    return np.array(found, float)


def _colours(said: dict[str, str], place: str) -> set[str]:
    return {said[name] for name in (f"{place} colour", f"{place} second colour") if name in said}


@torch.no_grad()
def joints_of(body, pictures: Tensor, chunk: int = 25) -> np.ndarray:
    """Joints [N,18,3] in pixels of the body network's size, read from pictures [N,3,H,W] in 0..1."""
    from ...models.studio.body_network import HEIGHT, WIDTH, read_joints

    small = [
        F.interpolate(pictures[i : i + chunk].float(), (HEIGHT, WIDTH), mode="area")
        for i in range(0, len(pictures), chunk)
    ]
    return np.concatenate([read_joints(body(one).heat) for one in small])


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two sets of features [N,F] (Heusel et al. 2017): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1
    C2)^1/2).
    """
    a, b = a.double(), b.double()
    first, second = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(first)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + first.trace() + second.trace() - 2 * cross)


def coverage(made: Tensor, true: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """Share of the true features in whose k-nearest-neighbour ball a made one lies (Naeem et al. 2020)."""
    among = torch.cdist(true.double(), true.double())
    radius = among.kthvalue(neighbours + 1, 1).values  # the nearest one is the point itself
    return float((torch.cdist(true.double(), made.double()).amin(1) <= radius).double().mean())


def diversity(latents: Sequence[Tensor]) -> float:
    """Mean root-mean-square distance of the drafts of one prompt, over prompts. latents: each [drafts,C,h,w]."""
    return float(np.mean([torch.pdist(one.flatten(1).float()).mean() / one[0].numel() ** 0.5 for one in latents]))
