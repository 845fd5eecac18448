"""Exact search over a wardrobe: one float16 product over a memory map of the vectors, then float64 for the best of
them.

The map is a cache: its name holds the store's version, it is rebuilt whenever it is missing, old or damaged.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..regular_files import open_regular
from ..text_door import checked_items, quoted
from ..whole_files import NotWritten, whole_file
from .composed_query import Query
from .wardrobe_store import EncoderIdentity, WardrobeStore

LOG = logging.getLogger(__name__)

# A float16 score near 1 is off by at most 2^-11 from rounding itself and as much from rounding the query: the right
# first k lie within this distance of the k-th score, and are scored again in float64.
HALF_PRECISION_SLACK = 0.004
# Results repeat: float64 sums of equal rows may differ in their last bits only.
SCORE_DECIMALS = 7
DUPLICATE = 0.98
# What numpy and zipfile raise for a file that is cut, of another form, or somebody else's.
_DAMAGED = (
    OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
)  # fmt: skip
LARGEST_IN_MEMORY = 256 * 2**20  # bytes of vectors that are searched without a file: 170,000 pictures of 768 numbers


@dataclass(frozen=True)
class VectorMap:
    """All vectors of one state of a store. `matrix` [rows*tokens, dim] float16; `ids` [rows]; rows in order of
    paths.
    """

    matrix: torch.Tensor
    ids: np.ndarray
    mean: torch.Tensor
    centred_norm: torch.Tensor
    tokens: int

    @property
    def rows(self) -> int:
        return len(self.ids)

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """[n, tokens, dim] float64."""
        return self.matrix.view(self.rows, self.tokens, -1)[rows].double()


def open_vectors(store: WardrobeStore) -> VectorMap:
    """The memory map of the store's present state, made now if needed.

    Where it cannot be written beside the store (a full disk, no permission), vectors of up to LARGEST_IN_MEMORY bytes
    are held in memory for this search, and a warning says why. Raises ValueError for more, with the folder.
    """
    failure = None
    for _ in range(4):
        version, identity = store.version, _encoder(store)
        try:
            return _read(*_files(store, version), identity.tokens, identity.dim)
        except _DAMAGED as error:
            failure = error
        try:
            _build(store)
        except NotWritten as error:
            return _in_memory(store, error)
        except OSError as error:  # another search cleared a version that is old by now
            failure = error
    raise ValueError(f"The wardrobe's vectors in {store.folder} cannot be laid out for search ({failure}).")


def _encoder(store: WardrobeStore) -> EncoderIdentity:
    identity = store.encoder()
    if identity is None:
        raise ValueError(f"The wardrobe in {store.pictures} is empty: run Index Wardrobe on it.")
    return identity


def _files(store: WardrobeStore, version: str) -> tuple[Path, Path]:
    return store.folder / f"vectors-{version}.npy", store.folder / f"rows-{version}.npz"


def _read(vectors: Path, rows: Path, tokens: int, dim: int) -> VectorMap:
    with open_regular(vectors):  # the map may be somebody else's: a pipe would be waited for
        pass
    # Mode 'c' (copy on write): a read-only array makes torch warn about undefined behaviour.
    matrix = np.load(vectors, mmap_mode="c", allow_pickle=False)
    if matrix.ndim != 2:
        raise ValueError("the cached vectors are no matrix")
    most = 16 * (len(matrix) + dim) + 4096
    with open_regular(rows) as stream, zipfile.ZipFile(stream) as archive:
        if sum(member.file_size for member in archive.infolist()) > most:  # a small file may unpack to a huge one
            raise ValueError("the cached rows are larger than the store")
    with np.load(rows, allow_pickle=False) as facts:
        ids, mean, norm = facts["ids"], facts["mean"], facts["centred_norm"]
    if matrix.dtype != np.float16 or matrix.shape != (len(ids) * tokens, dim) or norm.shape != ids.shape:
        raise ValueError("the cached vectors do not fit the store")
    if ids.dtype != np.int64 or mean.shape != (dim,) or mean.dtype != np.float64 or norm.dtype != np.float64:
        raise ValueError("the cached rows do not fit the store")
    return VectorMap(torch.from_numpy(matrix), ids, torch.from_numpy(mean), torch.from_numpy(norm), tokens)


def _build(store: WardrobeStore) -> None:
    """Write the map of the present state beside the store, under temporary names until it is whole.

    The vectors are written row by row and only then mapped: a map over room that the disk lacks kills the process
    (SIGBUS), and no Python code can catch that. Raises NotWritten.
    """
    with store.reading():
        version, identity = store.version, _encoder(store)
        count, tokens = store.count()[0], identity.tokens
        vectors, rows = _files(store, version)
        with whole_file(vectors) as draft, whole_file(rows) as draft_rows:
            ids = _write_vectors(draft, store, count, identity)
            matrix = np.load(draft, mmap_mode="r", allow_pickle=False)
            mean, norm = _centre(matrix, tokens)
            del matrix
            with open(draft_rows, "wb") as file:
                np.savez(file, ids=ids, mean=mean, centred_norm=norm)
    _drop_old(store, keep=version)


def _write_vectors(file: Path, store: WardrobeStore, count: int, identity: EncoderIdentity) -> np.ndarray:
    """All vectors as a .npy file [count * tokens, dim] float16; returns the ids [count]."""
    ids = np.empty(count, dtype=np.int64)
    shape = (count * identity.tokens, identity.dim)
    with open(file, "wb") as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for row, (number, vector) in enumerate(store.vectors()):
            ids[row] = number
            out.write(vector)
    return ids


def _in_memory(store: WardrobeStore, reason: NotWritten) -> VectorMap:
    """The map of the present state without a file. Raises ValueError above LARGEST_IN_MEMORY."""
    with store.reading():
        identity, count = _encoder(store), store.count()[0]
        size = 2 * count * identity.tokens * identity.dim
        if size > LARGEST_IN_MEMORY:
            raise ValueError(
                f"{reason} Without that file only a wardrobe of up to {LARGEST_IN_MEMORY / 2**20:.0f} MB of vectors is "
                f"searched; this one has {size / 2**20:.0f} MB."
            ) from reason
        found = list(store.vectors())
    LOG.warning("%s Until then every search lays the vectors out in memory.", reason)
    ids = np.array([number for number, _ in found], dtype=np.int64)
    data = bytearray(b"".join(vector for _, vector in found))
    matrix = np.frombuffer(data, np.float16).reshape(count * identity.tokens, identity.dim)
    mean, norm = _centre(matrix, identity.tokens)
    return VectorMap(torch.from_numpy(matrix), ids, torch.from_numpy(mean), torch.from_numpy(norm), identity.tokens)


def _centre(matrix: np.ndarray, tokens: int, block: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """The mean vector and every vector's distance from it, in blocks so that a map larger than memory passes."""
    count, dim = matrix.shape
    total = np.zeros(dim, dtype=np.float64)
    for start in range(0, count, block):
        total += matrix[start : start + block].astype(np.float64).sum(0)
    mean = total / max(count, 1)
    norms = np.empty(count, dtype=np.float64)
    for start in range(0, count, block):
        norms[start : start + block] = np.linalg.norm(matrix[start : start + block].astype(np.float64) - mean, axis=1)
    return mean, norms.reshape(-1, tokens).mean(1)


def _drop_old(store: WardrobeStore, keep: str) -> None:
    for file in store.folder.iterdir():
        old_map = file.name.startswith(("vectors-", "rows-")) and keep not in file.name
        if old_map:
            try:
                file.unlink()
            except OSError:  # another process has it open (Windows): the next build drops it
                continue


@dataclass(frozen=True)
class Hit:
    """One found row: `score` ranks; `picture_score` and `text_score` are the plain cosines, None where not asked."""

    row: int
    id: int
    score: float
    picture_score: float | None
    text_score: float | None


def search(
    vectors: VectorMap,
    query: Query,
    k: int,
    *,
    allowed: set[int] | None = None,
    hide_like: torch.Tensor | None = None,
    spread: float = 0.0,
) -> list[Hit]:
    """The k best rows, best first; rows of equal score in the order of their paths.

    `allowed`: ids that may be found (None = all). `hide_like` [tokens, dim]: leave out this picture and its near
    duplicates (cosine over 0.98). `spread` 0..1: 0 = by score alone, 1 = as unlike each other as possible (MMR,
    Carbonell & Goldstein 1998, over the best 10 k).
    """
    if vectors.rows == 0:
        return []
    allowed_rows = torch.ones(vectors.rows, dtype=torch.bool)
    if allowed is not None:
        allowed_rows = torch.from_numpy(np.isin(vectors.ids, np.fromiter(allowed, np.int64, len(allowed))))
    cosines = _cosines(vectors, query.probes)
    query = query.fitted(cosines)
    scores = query.rank(cosines, vectors.mean, vectors.centred_norm)
    if hide_like is not None:
        allowed_rows &= _likeness(vectors, hide_like) <= DUPLICATE
    scores = scores.masked_fill(~allowed_rows, -torch.inf)
    wanted = min(k * 10 if spread > 0 else k, int(allowed_rows.sum()))
    if wanted == 0:
        return []
    kth = scores.topk(wanted).values[-1]
    rows = torch.nonzero(scores >= kth - HALF_PRECISION_SLACK * query.steepness(vectors.centred_norm)).flatten()
    exact = vectors.of_rows(rows)
    cosines = torch.einsum("ntd,qd->nqt", exact, query.probes.double()).amax(-1)
    final = query.rank(cosines, vectors.mean, vectors.centred_norm[rows]).numpy().round(SCORE_DECIMALS)
    order = np.lexsort((rows.numpy(), -final))[:wanted]
    if spread > 0:
        order = _spread_out(exact[order], final[order], min(k, wanted), spread, order)
    picture, text = query.parts(cosines)
    return [
        Hit(int(rows[i]), int(vectors.ids[rows[i]]), float(final[i]),
            None if picture is None else float(picture[i]), None if text is None else float(text[i]))
        for i in order[:k]
    ]  # fmt: skip


def all_scores(vectors: VectorMap, query: Query) -> torch.Tensor:
    """[rows] float32 score of every row, at float16's precision: for measuring, where all ranks are wanted."""
    cosines = _cosines(vectors, query.probes)
    return query.fitted(cosines).rank(cosines, vectors.mean, vectors.centred_norm)


def _cosines(vectors: VectorMap, probes: torch.Tensor) -> torch.Tensor:
    """[rows, probes] float32: the best of each row's vectors against each probe."""
    products = probes.half() @ vectors.matrix.T  # this order is the fast one on CPUs
    return products.view(len(probes), vectors.rows, vectors.tokens).amax(-1).T.float()


def _likeness(vectors: VectorMap, picture: torch.Tensor) -> torch.Tensor:
    """[rows] mean over the picture's vectors of their best cosine with the row's (one vector each: the cosine)."""
    return _cosines(vectors, picture.reshape(-1, vectors.matrix.shape[-1]).float()).mean(-1)


def _spread_out(exact: torch.Tensor, scores: np.ndarray, k: int, spread: float, order: np.ndarray) -> np.ndarray:
    """Maximal marginal relevance, greedily: (1 - spread) score - spread (largest cosine with one already taken)."""
    flat = torch.nn.functional.normalize(exact.mean(1), dim=-1)
    likeness = (flat @ flat.T).numpy()
    taken, worth = [0], (1 - spread) * scores
    nearest = likeness[0].copy()
    while len(taken) < k:
        gain = (worth - spread * nearest).round(SCORE_DECIMALS)
        gain[taken] = -np.inf
        best = int(gain.argmax())  # the first of equals: the better ranked
        taken.append(best)
        nearest = np.maximum(nearest, likeness[best])
    return order[taken]


def parse_filter(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """('category: dress, colour: red, -pattern: floral') -> (wanted pairs, unwanted pairs)."""
    wanted: list[tuple[str, str]] = []
    unwanted: list[tuple[str, str]] = []
    parts = [part.strip() for part in text.replace(";", ",").replace("\n", ",").split(",")]
    for part in checked_items([part for part in parts if part], "filter", "parts"):
        kind, colon, value = part.lstrip("-").partition(":")
        if not colon or not kind.strip() or not value.strip():
            raise ValueError(
                f"The filter part {quoted(part)} is not of the form 'kind: value' (for example 'category: dress,"
                " colour: red', with a minus in front for 'not')."
            )
        (unwanted if part.startswith("-") else wanted).append((kind.strip().lower(), value.strip()))
    return wanted, unwanted


def filtered_ids(store: WardrobeStore, wanted: Sequence[tuple[str, str]], unwanted: Sequence[tuple[str, str]],
                 all_ids: np.ndarray) -> set[int] | None:  # fmt: skip
    """Ids that pass: any value of one kind (red or blue), every kind (colour and category), none of the unwanted.

    Raises ValueError for a kind that nothing in the wardrobe has.
    """
    if not wanted and not unwanted:
        return None
    known = ["category", "caption", *store.attribute_kinds()]
    for kind, _ in (*wanted, *unwanted):
        if kind.lower() not in map(str.lower, known):
            raise ValueError(
                f"The filter asks for {quoted(kind)}, which nothing in this wardrobe is noted by; it knows "
                f"{', '.join(known)}."
            )
    ids = set(all_ids.tolist())
    by_kind: dict[str, set[int]] = {}
    for kind, value in wanted:
        by_kind.setdefault(kind, set()).update(store.with_attribute(kind, value))
    for found in by_kind.values():
        ids &= found
    for kind, value in unwanted:
        ids -= store.with_attribute(kind, value)
    return ids
