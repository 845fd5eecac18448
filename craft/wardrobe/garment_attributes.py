"""Zero-shot garment attributes: which word of each kind a picture's vector is closest to, and how sure that is.

Every kind competes with "nothing to say", and what stays under the confidence asked for is left out: no guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..garments import LABELS, category_of
from ..prompt.vocabulary import ATTRIBUTES

NOTHING = ""
TYPES = (
    "t-shirt", "shirt", "blouse", "sweater", "hoodie", "cardigan", "blazer", "jacket", "coat", "vest", "tank top",
    "trousers", "jeans", "skirt", "shorts", "leggings", "dress", "gown", "jumpsuit", "sneakers", "boots", "high heels",
    "sandals", "loafers", "handbag", "tote bag", "backpack", "clutch",
)  # fmt: skip
PATTERNS = ("plain", "striped", "checked", "dotted", "floral", "printed", "lace", "animal print")
MATERIALS = ("denim", "leather", "knit", "silk", "cotton", "wool", "linen", "velvet", "fur", "sequins")
STYLES = ("casual", "elegant", "formal", "sporty", "vintage", "streetwear", "bohemian", "workwear")

KINDS: dict[str, tuple[str, ...]] = {
    "type": TYPES, **ATTRIBUTES, "pattern": PATTERNS, "material": MATERIALS, "style": STYLES,
}  # fmt: skip
# What each category can have; type, pattern, material and style belong to all.
_WORN_ON = {
    "length": ("upper", "lower", "dress"), "sleeve length": ("upper", "dress"), "sleeve type": ("upper", "dress"),
    "collar": ("upper", "dress"), "hem": ("upper", "lower", "dress"),
}  # fmt: skip


def prompt(kind: str, value: str) -> str:
    """The sentence whose vector stands for a value; NOTHING stands for the kind's absence."""
    if value == NOTHING:
        return "a photo of a garment" if kind != "type" else "a photo"
    value = value.lower()
    if kind == "type":
        return f"a photo of a {value}"
    if kind in ("collar", "sleeve length", "sleeve type", "hem"):
        return f"a photo of a garment with a {value}" if value != "sleeveless" else "a photo of a sleeveless garment"
    return f"a photo of a {value} garment"


def prompts() -> list[tuple[str, str, str]]:
    """(kind, value, sentence) of everything that can be said, each kind with its NOTHING."""
    return [(kind, value, prompt(kind, value)) for kind, values in KINDS.items() for value in (*values, NOTHING)]


def zero_shot(
    vectors: torch.Tensor,
    sentences: torch.Tensor,
    *,
    scale: float,
    confidence: float = 0.5,
) -> list[tuple[tuple[tuple[str, str, float], ...], str]]:
    """vectors [N, dim] or [N, tokens, dim]; sentences [len(prompts()), dim] in the order of prompts().

    `scale`: the encoder's logit scale, divided by a calibration temperature. Returns for every picture its
    ((kind, value, confidence 0..1), ...) at or above `confidence`, and its category ("" when not sure).
    """
    if vectors.ndim == 2:
        vectors = vectors[:, None]
    cosines = torch.einsum("ntd,pd->npt", vectors.float(), sentences.float()).amax(-1)
    listed, results = prompts(), []
    for row in cosines:
        said, category = [], ""
        for kind in KINDS:
            places = [i for i, (other, _, _) in enumerate(listed) if other == kind]
            chances = torch.softmax(scale * row[places], dim=0)
            if kind == "type":
                category = _category(chances, [listed[i][1] for i in places], confidence)
            if category not in _WORN_ON.get(kind, LABELS) and kind in _WORN_ON:
                continue
            best = int(chances.argmax())
            value, chance = listed[places[best]][1], float(chances[best])
            if value != NOTHING and chance >= confidence:
                said.append((kind, value, round(chance, 4)))
        results.append((tuple(said), category))
    return results


def _category(chances: torch.Tensor, types: list[str], confidence: float) -> str:
    """Types of one category add up: unsure between shirt and blouse is sure of upper."""
    sums = {category: 0.0 for category in LABELS}
    for chance, name in zip(chances.tolist(), types):
        if name != NOTHING:
            sums[category_of(name)] += chance
    best = max(sums, key=lambda category: sums[category])
    return best if sums[best] >= confidence else ""


def prompt_vectors(encode_text: Callable[[list[str]], torch.Tensor]) -> torch.Tensor:
    return encode_text([sentence for _, _, sentence in prompts()])


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature that makes softmax(logits / T) say how often it is right (Guo et al. 2017, temperature scaling).

    logits [N, classes] of labelled examples, labels [N]. Minimises the cross-entropy over log T by golden section.
    """

    def loss(log_t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / torch.tensor(log_t).exp().double(), labels))

    low, high, ratio = -5.0, 5.0, (5**0.5 - 1) / 2
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float(torch.tensor((low + high) / 2).exp())


def calibration_error(confidences: torch.Tensor, right: torch.Tensor, bins: int = 10) -> float:
    """Expected calibration error: mean over bins of |confidence - share right|, weighted by the bin's size. 0
    is best.
    """
    edges = (confidences * bins).long().clamp(0, bins - 1)
    error = 0.0
    for index in range(bins):
        inside = edges == index
        if inside.any():
            gap = float(confidences[inside].mean()) - float(right[inside].float().mean())
            error += abs(gap) * int(inside.sum())
    return error / max(len(confidences), 1)


def ordered_text(attributes: list[tuple[str, str, float]], scheduled: Mapping[str, tuple] = ATTRIBUTES) -> str:
    """The attributes that the Hierarchical Prompt Scheduler takes, one a line in the published order."""
    by_kind = {kind: value for kind, value, _ in attributes}
    return "\n".join(by_kind[kind] for kind in scheduled if kind in by_kind)
