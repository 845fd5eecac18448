"""The only path from Q-Former to diffusion in the code: 32 queries, adapted, spliced into a CLIP text encoder's input.

As in BLIP-Diffusion: a prefix of two tokens, the queries, the rest of the text; positions run over the whole, causal
mask.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

PREFIX = 2


class QueryAdapter(nn.Module):
    """proj_layer: x + dense2(quick_gelu(dense1(LayerNorm(x)))), [B, Q, h]; dropout 0.1 while training."""

    def __init__(self, hidden: int, inner: int, dropout: float = 0.1):
        super().__init__()
        self.LayerNorm = nn.LayerNorm(hidden, eps=1e-12)
        self.dense1, self.dense2 = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        x = self.dense1(self.LayerNorm(queries))
        return queries + self.dropout(self.dense2(x * torch.sigmoid(1.702 * x)))


def encode_with_queries(text_model: Any, ids: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """transformers' CLIPTextModel.text_model, ids [B, L], adapted queries [B, Q, h] -> hidden states [B, L + Q, h].

    Raises ValueError when text and queries are longer than the encoder's positions (77: at most 45 text tokens).
    """
    embeddings = text_model.embeddings
    length, most = ids.shape[1] + queries.shape[1], embeddings.position_embedding.weight.shape[0]
    if length > most:
        raise ValueError(
            f"{ids.shape[1]} text tokens and {queries.shape[1]} queries are {length}, the encoder has {most} places."
        )
    tokens = embeddings.token_embedding(ids)
    x = torch.cat([tokens[:, :PREFIX], queries, tokens[:, PREFIX:]], dim=1)
    x = x + embeddings.position_embedding.weight[:length]
    hidden = torch.full((length, length), torch.finfo(x.dtype).min, dtype=x.dtype, device=x.device).triu(1)[None, None]
    for layer in text_model.encoder.layers:
        output = layer(x, attention_mask=hidden, causal_attention_mask=None)
        x = output[0] if isinstance(output, tuple) else output
    return text_model.final_layer_norm(x)
