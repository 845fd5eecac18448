"""Composing a wardrobe query: words, a picture, a picture and a wished change, something unwanted.

A dual encoder's pictures and words live in two separate cones (the modality gap). Centring each by its own mean before
mixing is what makes "this picture, but red" work; the other methods are there to compare and for other encoders.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

METHODS = ("centred slerp", "sum of scores", "direction", "q-former")


@dataclass(frozen=True)
class Query:
    """What to rank by. `probes` [q, dim] float32 are compared with every row; `kind` says how their cosines combine.

    kinds: "plain" (probe 0), "set" (mean over all probes: a picture of several vectors), "centred" (probe 0 against
    rows minus the wardrobe's mean, divided by their distance from it), "scores" ((1-w) z(picture) + w z(text), probes
    0, 1).
    `against`: weight of the last probe, an unwanted text, subtracted. `picture`, `text`: which probes are the plain
    picture and text (for the partial scores), None when absent. `standard`: mean and deviation over the whole wardrobe
    of the cosines of "scores" (`fitted` fills it in).
    """

    probes: torch.Tensor
    kind: str = "plain"
    weight: float = 0.0
    against: float = 0.0
    picture: int | None = None
    text: int | None = None
    standard: tuple[tuple[float, float], ...] = ()

    def fitted(self, cosines: torch.Tensor) -> Query:
        """The same query with what it needs to know of the whole wardrobe: cosines [rows, q]."""
        if self.kind != "scores":
            return self
        columns = cosines[:, :2].double()
        deviation = columns.std(0, unbiased=False).clamp_min(1e-6)
        return replace(self, standard=tuple(zip(columns.mean(0).tolist(), deviation.tolist())))

    def rank(self, cosines: torch.Tensor, mean: torch.Tensor, centred_norm: torch.Tensor) -> torch.Tensor:
        """[n] scores from cosines [n, q]; `mean` [dim] of the wardrobe, `centred_norm` [n] its rows' distances
        from it.
        """
        if self.kind == "centred":
            shift = (self.probes[0].double() @ mean.double()).to(cosines.dtype)
            score = (cosines[:, 0] - shift) / centred_norm.to(cosines.dtype).clamp_min(1e-6)
        elif self.kind == "scores":
            picture, text = ((cosines[:, i] - mean) / deviation for i, (mean, deviation) in enumerate(self.standard))
            score = (1 - self.weight) * picture + self.weight * text
        elif self.kind == "set":
            score = (cosines[:, :-1] if self.against else cosines).mean(-1)
        else:
            score = cosines[:, 0]
        return score - self.against * cosines[:, -1] if self.against else score

    def steepness(self, centred_norm: torch.Tensor) -> float:
        """How much a score can move per unit of cosine: what float16's rounding is multiplied with."""
        steep = 1.0
        if self.kind == "centred":
            steep = 1.0 / max(float(centred_norm.min()), 1e-6)
        elif self.kind == "scores":
            steep = max(1.0 / deviation for _, deviation in self.standard)
        return steep + abs(self.against)

    def parts(self, cosines: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        picture, text = (None if index is None else cosines[:, index] for index in (self.picture, self.text))
        return picture, text


def unit(vector: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vector.float(), dim=-1)


def slerp(a: torch.Tensor, b: torch.Tensor, weight: float) -> torch.Tensor:
    """From unit vector a (weight 0) to unit vector b (weight 1) along the great circle [dim]."""
    angle = torch.arccos((a @ b).clamp(-1, 1))
    if float(angle) < 1e-4 or float(torch.pi - angle) < 1e-4:
        return unit((1 - weight) * a + weight * b) if float(angle) < 1 else a
    return (torch.sin((1 - weight) * angle) * a + torch.sin(weight * angle) * b) / torch.sin(angle)


def by_text(text: torch.Tensor, unwanted: torch.Tensor | None = None, strength: float = 0.5) -> Query:
    """`text` [dim]; `unwanted` [dim]: words whose likeness is subtracted, times `strength`."""
    return _with_unwanted([unit(text)], unwanted, strength, text=0)


def by_picture(picture: torch.Tensor, unwanted: torch.Tensor | None = None, strength: float = 0.5) -> Query:
    """`picture` [dim], or [tokens, dim]: then the mean over its vectors of their best cosine with a row's vectors."""
    probes = list(unit(picture.reshape(-1, picture.shape[-1])))
    if len(probes) > 1:
        return _with_unwanted(probes, unwanted, strength, kind="set")
    return _with_unwanted(probes, unwanted, strength, picture=0)


def by_picture_and_change(
    picture: torch.Tensor,
    change: torch.Tensor,
    *,
    method: str = "centred slerp",
    weight: float = 0.4,
    picture_mean: torch.Tensor | None = None,
    text_mean: torch.Tensor | None = None,
    present: torch.Tensor | None = None,
    unwanted: torch.Tensor | None = None,
    strength: float = 0.5,
) -> Query:
    """`picture`, `change` [dim] from one dual encoder; `weight` 0 (picture alone) .. 1 (change alone).

    "centred slerp" needs both means (of the wardrobe's pictures, of stock texts); "direction" needs `present`, the
    vector of words that say what the picture shows: v + weight (change - present).
    """
    if picture.numel() != picture.shape[-1]:
        raise ValueError("This encoder gives several vectors a picture: compose with the method 'q-former'.")
    v, t = unit(picture.reshape(-1)), unit(change)
    if method == "centred slerp":
        if picture_mean is None or text_mean is None:
            raise ValueError("Centred slerp needs the mean of the wardrobe's pictures and of stock texts: index again.")
        mixed = slerp(unit(v - picture_mean.float()), unit(t - text_mean.float()), weight)
        return _with_unwanted([mixed, v, t], unwanted, strength, kind="centred", picture=1, text=2)
    if method == "sum of scores":
        return _with_unwanted([v, t], unwanted, strength, kind="scores", weight=weight, picture=0, text=1)
    if method == "direction":
        if present is None:
            raise ValueError("The method 'direction' needs words for what the picture shows now: fill in 'present'.")
        mixed = unit(v + 2 * weight * (t - unit(present)))
        return _with_unwanted([mixed, v, t], unwanted, strength, picture=1, text=2)
    raise ValueError(f"Unknown method {method!r}: choose one of {', '.join(METHODS)}.")


def by_fused(fused: torch.Tensor, unwanted: torch.Tensor | None = None, strength: float = 0.5) -> Query:
    """`fused` [dim]: the Q-Former's joint vector of picture and change (`text_proj` of the joint [CLS])."""
    return _with_unwanted([unit(fused)], unwanted, strength)


def _with_unwanted(probes: list[torch.Tensor], unwanted: torch.Tensor | None, strength: float, **kwargs: Any) -> Query:
    if unwanted is not None:
        probes, kwargs["against"] = [*probes, unit(unwanted)], strength
    return Query(torch.stack([probe.float().cpu() for probe in probes]), **kwargs)
