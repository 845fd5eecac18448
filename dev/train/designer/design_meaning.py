"""What words mean, as numbers: the text encoder is taught these before the designer is trained.

A network that must find out from pictures that "navy" and "denim" are close learns each colour alone. Here the
encoder's
output says it outright: fixed places of the vector at each word hold the colours, pattern and attributes that were said
up to there (colour as RGB, lengths as numbers, the rest as one of n); a place of which nothing was said is 0. Words
that belong to a garment tell of that garment, all others (and the padding behind the caption) of top and bottom side by
side.
Training needs no picture, only captions: a few minutes. A reconstruction of nothing published.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ....croquis import random_figure
from ....croquis.colours import MOTIFS, PATTERNS
from ....croquis.figure import FigureSpec
from ....croquis.garment import COLLARS, FITS, HEMS, KINDS, LENGTHS, SLEEVE_LENGTHS, SLEEVE_TYPES, GarmentSpec
from ....models.studio.designer.text_encoder import LENGTH, TextEncoder
from .design_prompts import NOBODY, Piece, PromptMix, Words, prompt

# What is said -> its first place. "2" places are the bottom's, where words of nobody tell of two garments.
PLACES = {
    "ground": 0, "motif colour": 3, "pattern": 6, "kind": 12, "length": 17, "sleeve_length": 18, "sleeve_type": 19,
    "collar": 27,
    "hem": 37, "ground2": 45, "motif colour2": 48, "pattern2": 51, "fit": 57, "motif": 58,
}  # fmt: skip
USED = 61  # of 64 places; the others are the encoder's own
WEIGHT = np.ones(USED, np.float32)
WEIGHT[[*range(6), *range(45, 51), 17, 18]] = 3.0


def number(value: str, choices: tuple[str, ...]) -> list[float]:
    """An ordered choice as one number in -1.5..1.5."""
    return [3 * choices.index(value) / (len(choices) - 1) - 1.5]


def one_of(value: str, choices: tuple[str, ...]) -> list[float]:
    return [2.0 if value == choice else -0.2 for choice in choices]


def rgb(colour: tuple[int, int, int]) -> list[float]:
    return [(c / 255 - 0.55) / 0.27 for c in colour]


def telling(piece: Piece, garment: GarmentSpec) -> dict[str, list[float]]:
    """What a piece says, place -> numbers."""
    says = piece.says
    if says == "ground":
        return {says: rgb(garment.colours[0])}
    if says == "motif colour":
        return {says: rgb(garment.colours[1])}
    if says == "pattern":
        motif = [2.0 * bool(MOTIFS.index(garment.motif) + 1 >> bit & 1) - 1 for bit in range(3)]
        return {says: one_of(garment.pattern, PATTERNS)} | ({"motif": motif} if garment.pattern == "print" else {})
    if says == "kind":
        return {says: one_of(garment.category, tuple(KINDS))}
    if says == "fit":
        return {says: number(garment.fit, FITS)}
    if says in ("length", "sleeve_length"):
        return {says: number(getattr(garment, says), LENGTHS if says == "length" else SLEEVE_LENGTHS)}
    choices = {"sleeve_type": SLEEVE_TYPES, "collar": COLLARS, "hem": HEMS}.get(says)
    return {says: one_of(getattr(garment, says), choices)} if choices else {}


def meaning(pieces: list[Piece], spec: FigureSpec, words: Words) -> np.ndarray:
    """float32 [77, USED]: what each word should hold, in the order of `Words.encode`."""
    worn = [i for i, g in enumerate(spec.garments) if g.category in ("upper", "lower", "overall") and not g.open]
    top = next((i for i in worn if spec.garments[i].category != "lower"), worn[0] if worn else NOBODY)
    bottom = next((i for i in worn if spec.garments[i].category == "lower"), NOBODY)
    of_all = np.zeros(USED, np.float32)
    of_one = {i: np.zeros(USED, np.float32) for i in range(len(spec.garments))}
    rows = [of_all.copy()]
    for piece in pieces:
        if piece.owner != NOBODY:
            for what, numbers in telling(piece, spec.garments[piece.owner]).items():
                shared = piece.level > 0 or what == "fit"
                for i in of_one if shared else [piece.owner]:
                    _put(of_one[i], what, numbers)
                if shared or piece.owner == top:
                    _put(of_all, what, numbers)
                elif piece.owner == bottom and f"{what}2" in PLACES:
                    _put(of_all, f"{what}2", numbers)
        now = of_all if piece.owner == NOBODY else of_one[piece.owner]
        rows += [now.copy()] * len(words.rows_of(piece))
    rows = rows[: LENGTH - 1]
    return np.stack(rows + [of_all] * (LENGTH - len(rows)))


def _put(vector: np.ndarray, what: str, numbers: list[float]) -> None:
    vector[PLACES[what] : PLACES[what] + len(numbers)] = numbers


def teach(
    words: Words,
    steps: int,
    seed: int,
    batch: int = 48,
    lr: float = 4e-3,
    report=lambda step, error: None,
    start: TextEncoder | None = None,
) -> TextEncoder:
    """Train a text encoder (with the table of the known words only) to mean what it says. About a fifth of a second a
    step.

    start: an encoder to go on with. A designer has learnt to read it, so the places that nothing is said of stay as
    they are.
    """
    torch.manual_seed(seed)
    encoder = TextEncoder(words=1 + len(words.numbers))
    if start is not None:
        encoder.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    weight = torch.from_numpy(WEIGHT)
    for step in range(steps):
        rows, wanted = captions(words, seed + step * batch, batch)
        told = encoder(rows)
        error = (((told[..., :USED] - wanted) ** 2) * weight).mean()
        if start is not None:
            with torch.no_grad():
                own = start(rows)[..., USED:]
            error = error + ((told[..., USED:] - own) ** 2).mean()
        optimizer.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report(step, error.item())
    return encoder.eval()


def captions(words: Words, seed: int, batch: int, mix: PromptMix = PromptMix()) -> tuple[Tensor, Tensor]:  # noqa: B008  frozen
    """(rows int64 [B,77], meanings float32 [B,77,USED]) of the captions of `batch` figures from a seed on."""
    from .designer_data import OUTFITS

    rows, wanted = [], []
    for number in range(seed, seed + batch):
        rng = np.random.default_rng([number, 31])
        spec = random_figure(number, OUTFITS[int(rng.choice(len(OUTFITS), p=[share for _, share in OUTFITS]))][0])
        pieces = prompt(spec, int(rng.integers(1000)), rng, mix)
        rows.append(words.encode(pieces)[0])
        wanted.append(meaning(pieces, spec, words))
    return torch.from_numpy(np.stack(rows)), torch.from_numpy(np.stack(wanted))
