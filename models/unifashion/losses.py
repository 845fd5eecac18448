"""UniFashion's losses as its code computes them, and as the paper writes them where the two differ.

Pictures come as query vectors [I, Q, d], texts as [T, d], neither normalised; row i belongs to row i. `also` [I, T]
bool: pairs beside those that belong together as well (a caption that fits two garments); they are no negatives.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, mse_loss, normalize

NEVER = -10000.0


def similarity(images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Cosines [I, T, Q] of every query of every picture with every text."""
    return torch.einsum("iqd,td->itq", normalize(images, dim=-1), normalize(texts, dim=-1))


def without(best: torch.Tensor, also: torch.Tensor | None) -> torch.Tensor:
    """Similarities [I, T] with those of `also` off the diagonal put out of the race."""
    if also is None:
        return best
    return best.masked_fill(also & ~torch.eye(len(best), dtype=torch.bool, device=best.device), NEVER)


def contrastive(
    images: torch.Tensor, texts: torch.Tensor, temperature: torch.Tensor, also: torch.Tensor | None = None
) -> torch.Tensor:
    """ITC as coded: both directions added, best query, no smoothing."""
    best = without(similarity(images, texts).amax(-1) / temperature, also)
    own = torch.arange(len(best), device=best.device)
    return cross_entropy(best, own) + cross_entropy(best.T, own)


def contrastive_lavis(images: torch.Tensor, texts: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """ITC of LAVIS's BLIP-2: mean of both directions, label smoothing 0.1."""
    best = similarity(images, texts).amax(-1) / temperature
    own = torch.arange(len(best), device=best.device)
    return (cross_entropy(best, own, label_smoothing=0.1) + cross_entropy(best.T, own, label_smoothing=0.1)) / 2


def contrastive_eq3(images: torch.Tensor, texts: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Eq. 3: from texts to pictures only, lambda = 1 / temperature."""
    best = similarity(images, texts).amax(-1) / temperature
    return cross_entropy(best.T, torch.arange(len(best), device=best.device))


def composed_to_caption(
    fused: torch.Tensor, captions: torch.Tensor, temperature: torch.Tensor, also: torch.Tensor | None = None
) -> torch.Tensor:
    """loss_ttc: fused queries [B, Q, d] against the target captions [B, d], that direction only."""
    best = without(similarity(fused, captions).amax(-1) / temperature, also)
    return cross_entropy(best, torch.arange(len(best), device=best.device))


def hard_negatives(best: torch.Tensor, *, as_lavis: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """From similarities [I, T]: (hardest text for each picture, hardest picture for each text), never the own one.

    UniFashion reads the other table than LAVIS: the negative text of picture b comes from row b of text-to-picture.
    """
    masked = best.detach().clone()
    masked.fill_diagonal_(NEVER)
    to_text, to_image = masked.argmax(1), masked.T.argmax(1)
    return (to_text, to_image) if as_lavis else (to_image, to_text)


def matching(query_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """ITM (the code's form of Eq. 4): [3B, Q, 2] -> mean over queries -> two-class cross-entropy.

    Rows: B true pairs, B (text, hard picture), B (hard text, picture); labels 1, 0, 0.
    """
    return cross_entropy(query_logits.mean(1), labels)


def language(logits: torch.Tensor, ids: torch.Tensor, *, pad: int = 0, smoothing: float = 0.1) -> torch.Tensor:
    """LM of the Q-Former: logits [B, L, V] predict the next id; padding is not counted. Smoothing 0: Eqs. 6, 11."""
    following = ids[:, 1:].masked_fill(ids[:, 1:] == pad, -100)
    return cross_entropy(logits[:, :-1].flatten(0, 1), following.flatten(), label_smoothing=smoothing)


def query_to_image(noise: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """q2I, Eqs. 7 and 12: mean squared error of the predicted noise."""
    return mse_loss(predicted, noise)
