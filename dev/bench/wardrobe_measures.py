"""What `dev.py bench wardrobe` measures of a wardrobe network on a pool of drawn garments, with its controls.

Rows of a pool: the first garments of all pairs, then their partners, which differ in one or two attributes. Every
garment is in the gallery of every query; a picture + change query's own picture stays in the gallery too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...craft.wardrobe.composed_query import slerp, unit
from ...craft.wardrobe.garment_attributes import calibration_error
from ...models.studio.wardrobe.wardrobe_attributes import KINDS, VALUES, applies, named
from ...models.studio.wardrobe.wardrobe_network import WardrobeNetwork, padded
from ...models.studio.wardrobe.wardrobe_words import CLS, PAD, change_ids, query_ids, read_caption, value_ids
from ...models.unifashion.qformer import best_of_queries
from ..train.wardrobe.wardrobe_batch import Batch, drawn_batch
from ..train.wardrobe.wardrobe_pool import Pool

BATCH = 100


@dataclass
class Seen:
    """A gallery as the network sees it: tokens [N,P,c], unit vectors [N,Q,d], attributes by kind, numbers [N,kinds]."""

    tokens: Tensor
    vectors: Tensor
    said: list[dict[str, str]]
    numbers: np.ndarray


def in_batches(rows: Tensor, work) -> Tensor:
    with torch.inference_mode():
        return torch.cat([work(rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)])


def see(network: WardrobeNetwork, pool: Pool) -> Seen:
    pictures = pool.pictures.transpose(0, 1).flatten(0, 1)
    numbers = pool.numbers.transpose(0, 1).flatten(0, 1).numpy()
    tokens = in_batches(pictures, lambda rows: network.see(rows.permute(0, 3, 1, 2).float() / 255))
    vectors = in_batches(tokens, lambda rows: normalize(network.image_vectors(network.queries(rows)), dim=-1))
    return Seen(tokens, vectors, [named(row) for row in numbers], numbers)


def words(network: WardrobeNetwork, ids: Tensor) -> Tensor:
    """Unit vectors [T,d] of token rows."""
    return in_batches(ids, lambda rows: normalize(network.text_vectors(network.text(rows)), dim=-1))


def hits(scores: Tensor, right: Tensor, k: int) -> float:
    """Share of queries (columns of scores [N,T]) with one of their right rows (bool [N,T]) among the first k. Ties
    count against it."""
    best = scores.masked_fill(~right, -torch.inf).amax(0)
    better = ((scores >= best) & ~right).sum(0)
    return float((better < k).float().mean())


# ------------------------------------------------------------------------------------------------ words -> picture
def by_words(network: WardrobeNetwork, seen: Seen, keep: float, seed: int = 0) -> dict[str, float]:
    """R@1 and R@10 of captions that say the share `keep` of all attributes, counting every garment that a
    caption fits.
    """
    rng = np.random.default_rng([seed, 70])
    ids, kinds = zip(*(query_ids(said, rng, keep) for said in seen.said), strict=True)
    right = fits(seen.numbers, kinds)
    vectors = words(network, padded(list(ids)))
    scores = best_of_queries(seen.vectors, vectors)
    late = unit(seen.vectors.mean(1)) @ vectors.T
    other = torch.from_numpy(rng.permutation(len(ids)))
    return {
        "R@1": hits(scores, right, 1), "R@10": hits(scores, right, 10), "R@1 by chance": float(right.float().mean()),
        "R@1 of shuffled captions": hits(scores[:, other], right, 1), "R@1 CLIP-style": hits(late, right, 1),
        "garments a caption fits": float(right.float().sum(0).mean()),
    }  # fmt: skip


def fits(numbers: np.ndarray, kinds) -> Tensor:
    """bool [N,T]: garment n has all that the caption of garment t says."""
    right = np.ones((len(numbers), len(kinds)), bool)
    for place, kind in enumerate(KINDS):
        says = np.array([kind in k for k in kinds])
        right &= (numbers[:, None, place] == numbers[None, :, place]) | ~says[None]
    return torch.from_numpy(right)


# ------------------------------------------------------------------------------------------------ picture + change
def by_change(network: WardrobeNetwork, seen: Seen, weight: float, seed: int = 0) -> dict[str, float]:
    """R@1 and R@10 of a picture and a wish, both ways of every pair; the late fusion's `weight` was chosen
    elsewhere.
    """
    rng = np.random.default_rng([seed, 71])
    count = len(seen.said)
    target = (np.arange(count) + count // 2) % count
    ids = padded([change_ids(seen.said[i], seen.said[target[i]], rng) for i in range(count)])
    right = torch.from_numpy((seen.numbers[:, None] == seen.numbers[target][None]).all(2))
    other = ids[torch.from_numpy(rng.permutation(count))]
    made = {
        name: best_of_queries(seen.vectors, compose(network, seen.tokens, rows))
        for name, rows in (("", ids), ("other", other))
    }
    picture = best_of_queries(seen.vectors, compose(network, seen.tokens, torch.full((count, 1), CLS)))
    late = late_fusion(network, seen, ids, weight)
    only_words = best_of_queries(seen.vectors, words(network, ids))
    return {
        "R@1": hits(made[""], right, 1), "R@10": hits(made[""], right, 10), "R@10 by chance": 10 / count,
        "R@1 of shuffled changes": hits(made["other"], right, 1),
        "R@10 of shuffled changes": hits(made["other"], right, 10),
        "R@1 without the change": hits(picture, right, 1), "R@10 without the change": hits(picture, right, 10),
        "R@10 without the picture": hits(only_words, right, 10),
        "R@1 CLIP-style late fusion": hits(late, right, 1), "R@10 CLIP-style late fusion": hits(late, right, 10),
    }  # fmt: skip


def compose(network: WardrobeNetwork, tokens: Tensor, ids: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([
            normalize(network.composed_vectors(network.joint(tokens[i : i + BATCH], ids[i : i + BATCH])), dim=-1)
            for i in range(0, len(ids), BATCH)
        ])  # fmt: skip


def late_fusion(network: WardrobeNetwork, seen: Seen, ids: Tensor, weight: float) -> Tensor:
    """Scores [N,T] of centred slerp (craft/composed_query) between one vector a picture and the wish's vector."""
    pictures, texts = unit(seen.vectors.mean(1)), words(network, ids)
    centred, said = pictures - pictures.mean(0), texts - texts.mean(0)
    mixed = torch.stack([slerp(unit(v), unit(t), weight) for v, t in zip(centred, said, strict=True)])
    return unit(centred) @ mixed.T


def best_weight(network: WardrobeNetwork, seen: Seen) -> float:
    """The late fusion's weight that is best on a gallery that nothing is reported of."""
    return max(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
        key=lambda weight: by_change(network, seen, weight)["R@1 CLIP-style late fusion"],
    )


# ------------------------------------------------------------------------------------------------ captions
def captions(network: WardrobeNetwork, seen: Seen, pool: Pool) -> tuple[dict[str, float], dict[str, float]]:
    """(figures, share right by kind) of greedy captions: micro F1 over (kind, value), beside another garment's caption
    and beside CLIP-style tagging (each kind's phrases compared with the picture)."""
    pictures = pool.pictures.transpose(0, 1).flatten(0, 1)
    told: list[dict[str, str]] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), BATCH):
            rows, _ = network.write(pictures[start : start + BATCH].permute(0, 3, 1, 2).float() / 255)
            told += [read_caption(row) for row in rows]
    half = len(told) // 2
    tagged = tags(network, seen)
    figures = {
        "attribute F1": f1(told, seen.said),
        "F1 of another garment's caption": f1(told[half // 2 :] + told[: half // 2], seen.said),
        "F1 CLIP-style tagging": f1(tagged, seen.said),
        "whole caption right": float(np.mean([a == b for a, b in zip(told, seen.said, strict=True)])),
    }  # fmt: skip
    by_kind = {kind: float(np.mean([a.get(kind) == b[kind] for a, b in zip(told, seen.said, strict=True) if kind in b]))
               for kind in KINDS}  # fmt: skip
    return figures, by_kind


def f1(told: list[dict], true: list[dict]) -> float:
    right = sum(len(a.items() & b.items()) for a, b in zip(told, true, strict=True))
    return 2 * right / max(1, sum(map(len, told)) + sum(map(len, true)))


def tags(network: WardrobeNetwork, seen: Seen) -> list[dict[str, str]]:
    best = {}
    for kind in KINDS:
        vectors = words(network, torch.tensor([[CLS, token] for token in value_ids(kind)]))
        best[kind] = best_of_queries(seen.vectors, vectors).argmax(1).tolist()
    told = []
    for row in range(len(seen.said)):
        said = {kind: VALUES[kind][best[kind][row]] for kind in KINDS}
        told.append({kind: value for kind, value in said.items() if applies(kind, said)})
    return told


def calibration(network: WardrobeNetwork, batch: Batch) -> dict[str, float]:
    """How far the language head's chances are from how often it is right, with and without its fitted temperature."""
    with torch.inference_mode():
        logits = network.language(network.see(batch.pictures), batch.written[:, :-1])[1]
    following = batch.written[:, 1:]
    real = following != PAD
    made = {}
    for name, temperature in (
        ("calibration error", float(network.reading_temperature)),
        ("calibration error at temperature 1", 1.0),
    ):
        chance, best = (logits[real] / temperature).softmax(-1).max(-1)
        made[name] = calibration_error(chance, best == following[real])
    return made


def all_of(network: WardrobeNetwork, pool: Pool, weight: float) -> dict[str, dict[str, float]]:
    """Part -> name -> figure, of a network in eval mode on the garments of a pool."""
    seen = see(network, pool)
    told, by_kind = captions(network, seen, pool)
    some = drawn_batch(pool, torch.arange(min(200, len(pool.numbers))), np.random.default_rng(0), None, 1.0)
    return {
        "words -> picture": by_words(network, seen, 1.0), "half the words -> picture": by_words(network, seen, 0.5),
        "picture + change": by_change(network, seen, weight), "captions": told, "captions, share right": by_kind,
        "captions, how sure": calibration(network, some),
    }  # fmt: skip
