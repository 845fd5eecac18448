"""What the host's text encoders make of a prompt: the tokens behind every row of the conditioning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

if TYPE_CHECKING:
    from ..host_types import Clip

_BYTE_OF = {letter: byte for byte, letter in bytes_to_unicode().items()}


@dataclass(frozen=True)
class PromptTokens:
    """The tokens of one prompt, all 77-token chunks one after another, as the rows of its conditioning.

    pieces: per row the token's bytes, one character each, None for start, end, padding and embeddings.
    weights: per row the weight that the prompt's brackets gave it.
    """

    prompt: str
    pieces: tuple[str | None, ...]
    weights: tuple[float, ...]


def tokens_of(clip: Clip, prompt: str) -> PromptTokens:
    """The rows of the conditioning that `clip` makes of `prompt`. Raises ValueError for encoders that are not
    CLIP's."""
    by_encoder = clip.tokenize(prompt, return_word_ids=True)
    for name, chunks in by_encoder.items():
        tokenizer = getattr(clip.tokenizer, f"clip_{name}", None)
        if tokenizer is not None and hasattr(tokenizer, "inv_vocab"):
            rows = [row for chunk in chunks for row in chunk]
            pieces = tuple(_piece(tokenizer, token, word) for token, _, word in rows)
            return PromptTokens(prompt, pieces, tuple(float(weight) for _, weight, _ in rows))
    raise ValueError(
        f"This text encoder ({', '.join(by_encoder)}) has no CLIP tokens; "
        "bind attributes with SD1.5, SD2 or SDXL checkpoints."
    )


def encode(clip: Clip, prompt: str) -> torch.Tensor:
    """The conditioning tensor [1, rows, width] of a prompt, as CLIPTextEncode makes it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(prompt))[0][0]


def _piece(tokenizer, token, word: int) -> str | None:
    if word == 0 or torch.is_tensor(token) or not isinstance(token, int):
        return None
    text = tokenizer.inv_vocab[token].removesuffix("</w>")
    return "".join(chr(_BYTE_OF.get(letter, ord("?"))) for letter in text)
