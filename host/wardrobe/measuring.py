"""What the measure nodes do: features from the loaded encoder, scores of every query against a whole wardrobe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import folder_paths
import numpy as np
import torch

from ...craft.counts import check_count
from ...craft.measure import picture_metrics, retrieval_metrics
from ...craft.measure.lines import lines_of
from ...craft.text_door import quoted
from ...craft.wardrobe import composed_query, wardrobe_search
from ...craft.wardrobe.wardrobe_store import WardrobeStore
from ..images import checked_picture
from . import index_and_search as wardrobe
from .wardrobe_folders import inside

if TYPE_CHECKING:
    from ..host_types import Image
    from .fashion_encoder import FashionEncoder


def measure_pictures(
    images: Image,
    compare: Image,
    reference: Image,
    encoder: FashionEncoder,
    texts: str,
    trunk: str,
    heads: str,
    kind: str,
) -> list[retrieval_metrics.Figure]:
    """Figures of one comparison; raises ValueError for what it lacks."""
    pictures = checked_picture(images, "pictures", (3, 4))[..., :3]
    if compare in ("pairs", "sets") and reference is None:
        raise ValueError(f"Comparing {compare} needs reference pictures: connect them.")
    if compare != "pairs" and encoder is None:
        raise ValueError(f"Comparing {compare} needs an encoder's features: connect Load Fashion Encoder.")
    if compare == "pairs":
        other = checked_picture(reference, "reference", (3, 4))[..., :3]
        figures = picture_metrics.paired(pictures, other)
        if trunk or heads:
            figures.append(picture_metrics.lpips(pictures, other, _metric_file(trunk), _metric_file(heads), kind))
        return figures
    features = encoder.encode_image(pictures)
    if compare == "sets":
        other = encoder.encode_image(checked_picture(reference, "reference", (3, 4))[..., :3])
        return picture_metrics.set_distances(
            other.flatten(1), features.flatten(1), f"{encoder.name} ({encoder.hash[:8]})"
        )
    lines = lines_of(texts, "texts")
    if compare == "classes":
        return [_inception_score(encoder, features, lines)]
    check_count(len(lines), "lines of text", len(pictures))
    words = encoder.encode_text(lines).expand(len(pictures), -1)
    if features.ndim == 3:
        best = torch.einsum("nqd,nd->nq", features, words).argmax(1)
        features = features[torch.arange(len(features)), best]
    return [picture_metrics.text_agreement(features, words, encoder.name)]


def _inception_score(encoder, features: torch.Tensor, classes: list[str]) -> retrieval_metrics.Figure:
    if len(classes) < 2:
        raise ValueError(f"{len(classes)} classes are given: write what the pictures may show, one a line.")
    cosines = torch.einsum(
        "nqd,cd->ncq", features.reshape(len(features), -1, encoder.dim), encoder.encode_text(classes)
    ).amax(-1)
    return picture_metrics.inception_score(cosines * encoder.logit_scale, f"{encoder.name} ({encoder.hash[:8]})")


def _metric_file(name: str) -> str:
    root = os.path.join(folder_paths.models_dir, "atelier", "metrics")
    return inside(root, name)


def measure_retrieval(
    folder: str, encoder: FashionEncoder, queries: str, method: str, weight: float
) -> list[retrieval_metrics.Figure]:
    """Every query against every picture of the wardrobe. Raises ValueError for unknown paths and leaking captions."""
    parsed = [parse_query(line) for line in queries.splitlines() if line.strip()]
    if not parsed:
        raise ValueError("No queries: write one a line, as 'words = path' or 'path + words = path'.")
    with WardrobeStore(folder) as store:
        wardrobe.require_same(store.encoder(), encoder, folder)
        vectors = wardrobe_search.open_vectors(store)
        items = [store.item(int(number)) for number in vectors.ids]
        row_of = {item.path: row for row, item in enumerate(items)}
        relevant = [{_row(row_of, path) for path in answers} for _, _, answers in parsed]
        retrieval_metrics.refuse_leak([words for _, words, _ in parsed], [item.caption for item in items], relevant)
        scores, bar = np.empty((len(parsed), vectors.rows)), comfy.utils.ProgressBar(len(parsed))
        for number, (picture, words, _) in enumerate(parsed):
            comfy.model_management.throw_exception_if_processing_interrupted()
            scores[number] = _scores(store, encoder, vectors, items, row_of, picture, words, method, weight)
            bar.update_absolute(number + 1, len(parsed))
    return retrieval_metrics.retrieval(scores, relevant)


def parse_query(line: str) -> tuple[str, str, list[str]]:
    """'path + words = path | path' -> (path or "", words, right answers)."""
    asked, equals, answers = line.rpartition("=")
    picture, plus, words = asked.rpartition(" + ")
    paths = [path.strip() for path in answers.split("|") if path.strip()]
    if not equals or not paths or not (asked.strip()):
        raise ValueError(f"The query {quoted(line)} is not of the form 'words = path' or 'path + words = path'.")
    return picture.strip(), (words if plus else asked).strip(), paths


def _row(row_of: dict[str, int], path: str) -> int:
    if path not in row_of:
        raise ValueError(f"The wardrobe has no picture {quoted(path)}: paths are relative to its folder.")
    return row_of[path]


def _scores(store, encoder, vectors, items, row_of, picture, words, method, weight) -> np.ndarray:
    if not picture:
        query = composed_query.by_text(encoder.encode_text([words])[0])
    else:
        item = items[_row(row_of, picture)]
        image = wardrobe.as_image(wardrobe.picture_of(str(store.pictures), item))
        query = wardrobe.make_query(store, encoder, vectors, words, image, encoder.encode_image(image[None])[0], method,
                                weight, "", "", 0.5)  # fmt: skip
    scores = wardrobe_search.all_scores(vectors, query).numpy().astype(np.float64)
    if picture:
        scores[row_of[picture]] = -np.inf  # the reference itself is never an answer
    return scores
