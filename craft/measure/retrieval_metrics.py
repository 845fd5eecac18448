"""Retrieval and caption measures. Each result names how it was made and over how many; ties never flatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..text_door import LONGEST_CAPTION, quoted


@dataclass(frozen=True)
class Figure:
    """One measured number: `value`, the library or formula that made it, and `n` samples."""

    name: str
    value: float
    source: str
    n: int
    note: str = ""

    def line(self) -> str:
        return f"{self.name}: {self.value:.4f} (N = {self.n}, {self.source}{'; ' + self.note if self.note else ''})"


def ranks(scores: np.ndarray, relevant: Sequence[set[int]]) -> list[list[int]]:
    """For each query the 0-based ranks of its relevant candidates, ascending. scores [queries, candidates].

    A candidate of equal score counts as better unless it is relevant itself: a constant score gets the worst rank.
    """
    result = []
    for row, wanted in zip(scores, relevant):
        if not wanted:
            raise ValueError("A query without a right answer cannot be scored: leave it out.")
        others = np.array([candidate not in wanted for candidate in range(len(row))])
        placed = sorted(int((row[others] >= row[own]).sum()) for own in wanted)
        result.append([place + number for number, place in enumerate(placed)])
    return result


def retrieval(scores: np.ndarray, relevant: Sequence[set[int]], at: Sequence[int] = (1, 5, 10, 50)) -> list[Figure]:
    """R@K (share of queries with a right answer among the first K), MRR and mAP, with the pool's size."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) != len(relevant):
        raise ValueError(
            f"Scores of shape {scores.shape} do not fit {len(relevant)} queries: expected [queries, candidates]."
        )
    placed, pool = ranks(scores, relevant), f"pool {scores.shape[1]}"
    source, n = f"ties count as worse, {pool}", len(placed)
    figures = [Figure(f"R@{k}", float(np.mean([row[0] < k for row in placed])), source, n,
                      "K covers the whole pool" if k >= scores.shape[1] else "") for k in at]  # fmt: skip
    precision = [np.mean([(hit + 1) / (rank + 1) for hit, rank in enumerate(row)]) for row in placed]
    figures.append(Figure("MRR", float(np.mean([1 / (row[0] + 1) for row in placed])), source, n))
    figures.append(Figure("mAP", float(np.mean(precision)), source, n))
    figures.append(Figure("chance R@1", float(np.mean([len(w) for w in relevant]) / scores.shape[1]), pool, n))
    return figures


def captions(references: Sequence[Sequence[str]], candidates: Sequence[str]) -> list[Figure]:
    """BLEU-1..4, ROUGE-L and CIDEr of pycocoevalcap. Words are lower-cased and split at white space.

    CIDEr weighs words by how rare they are in these references: figures of different sets do not compare.
    """
    if len(references) != len(candidates) or not candidates:
        raise ValueError(
            f"{len(candidates)} captions came with {len(references)} sets of references: expected one set each."
        )
    for text in (*candidates, *(text for texts in references for text in texts)):
        if len(text) > LONGEST_CAPTION:
            raise ValueError(
                f"A caption of {len(text):,} characters came in ({quoted(text)}); at most {LONGEST_CAPTION:,} are "
                "compared: shorten it."
            )
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise ValueError(
            f"Caption metrics need the package pycocoevalcap ({error}): run `pip install pycocoevalcap`."
        ) from error
    said = {i: [_words(text)] for i, text in enumerate(candidates)}
    given = {i: [_words(text) for text in texts] for i, texts in enumerate(references)}
    bleu = Bleu(4).compute_score(given, said, verbose=0)[0]
    figures = [Figure(f"BLEU-{i + 1}", float(value), "pycocoevalcap", len(said)) for i, value in enumerate(bleu)]
    figures.append(Figure("ROUGE-L", float(Rouge().compute_score(given, said)[0]), "pycocoevalcap", len(said)))
    figures.append(Figure("CIDEr", float(Cider().compute_score(given, said)[0]), "pycocoevalcap", len(said),
                          "meaningless for one caption" if len(said) == 1 else ""))  # fmt: skip
    return figures


def _words(text: str) -> str:
    return " ".join(text.lower().split())


def attributes_f1(expected: Sequence[Mapping[str, str]], found: Sequence[Mapping[str, str]]) -> list[Figure]:
    """Precision, recall and F1 over all (kind, value) pairs (micro)."""
    if len(expected) != len(found):
        raise ValueError(f"{len(found)} results came with {len(expected)} expected ones.")
    pairs = [({(k, v.lower()) for k, v in want.items()}, {(k, v.lower()) for k, v in got.items()})
             for want, got in zip(expected, found)]  # fmt: skip
    right = sum(len(want & got) for want, got in pairs)
    wanted, given = sum(len(want) for want, _ in pairs), sum(len(got) for _, got in pairs)
    precision, recall = right / given if given else 0.0, right / wanted if wanted else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return [Figure(name, value, "micro over (kind, value) pairs", len(pairs))
            for name, value in (("attribute precision", precision), ("attribute recall", recall), ("attribute F1",
            f1))]  # fmt: skip


def refuse_leak(queries: Sequence[str], candidate_captions: Sequence[str], relevant: Sequence[set[int]]) -> None:
    """Raise ValueError when the queries evidently wrote the captions they are matched with.

    Measured as the share of a query's words that stand in its own target's caption against other candidates' captions.
    Fashion-IQ's generated captions show 63 % against 14 %.
    """
    own, other = [], []
    bags = [set(_words(text).split()) for text in candidate_captions]
    if not any(bags) or len(bags) < 2:
        return
    for number, (query, wanted) in enumerate(zip(queries, relevant)):
        words = {word for word in _words(query).split() if len(word) > 3}
        if not words:
            continue
        own.append(max(len(words & bags[index]) / len(words) for index in wanted))
        rest = [bag for index, bag in enumerate(bags) if index not in wanted]
        if rest:
            other.append(len(words & rest[number % len(rest)]) / len(words))
    if len(own) >= 10 and other and np.mean(own) > 0.5 and np.mean(own) > 3 * np.mean(other):
        raise ValueError(
            f"This evaluation leaks: {np.mean(own):.0%} of a query's words stand in its answer's caption,"
            f" {np.mean(other):.0%} in others'. The captions were written from the queries; leave them out of the"
            " scores, or use captions that never saw the queries."
        )
