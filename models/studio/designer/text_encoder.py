"""The studio designer's text encoder: CLIP's text model, small, with transformers' tensor names.

Its table of words is trained only for the words that fashion captions are made of. All others share one row: a word
that the encoder does not know says nothing, rather than something at random.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY, START, END, LENGTH = 49408, 49406, 49407, 77


@dataclass(frozen=True)
class TextConfig:
    width: int = 64
    layers: int = 3
    heads: int = 4

    def clip(self) -> dict:
        """The fields of transformers' CLIPTextConfig."""
        return {
            "hidden_size": self.width, "intermediate_size": 4 * self.width, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": LENGTH, "projection_dim": self.width, "bos_token_id": START, "eos_token_id": END,
            "pad_token_id": END,
        }  # fmt: skip


class Projections(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)


class Mlp(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


class Layer(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn, self.mlp = Projections(width), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        h, own = self.layer_norm1(x), self.self_attn
        q, k, v = (p(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (own.q_proj, own.k_proj, own.v_proj))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + own.out_proj(h.transpose(1, 2).flatten(2))
        h = self.mlp.fc1(self.layer_norm2(x))
        return x + self.mlp.fc2(h * torch.sigmoid(1.702 * h))


class Embeddings(nn.Module):
    def __init__(self, words: int, width: int):
        super().__init__()
        self.token_embedding, self.position_embedding = nn.Embedding(words, width), nn.Embedding(LENGTH, width)


class Layers(nn.Module):
    def __init__(self, config: TextConfig):
        super().__init__()
        self.layers = nn.ModuleList(Layer(config.width, config.heads) for _ in range(config.layers))


class TextModel(nn.Module):
    """Named as CLIP's text model: the keys of the file are the same."""

    def __init__(self, config: TextConfig, words: int):
        super().__init__()
        self.embeddings, self.encoder = Embeddings(words, config.width), Layers(config)
        self.final_layer_norm = nn.LayerNorm(config.width)


class TextEncoder(nn.Module):
    """`forward`: word numbers [B, 77] -> [B, 77, width], the last layer after its norm, as Stable Diffusion 1.5 takes
    it.

    `words`: rows of the table; in training only the known words and row 0 for all others, in a file all of CLIP's.
    """

    def __init__(self, config: TextConfig = TextConfig(), words: int = VOCABULARY):
        super().__init__()
        self.config = config
        self.text_model = TextModel(config, words)
        nn.init.normal_(self.text_model.embeddings.token_embedding.weight, std=0.5)
        nn.init.normal_(self.text_model.embeddings.position_embedding.weight, std=0.1)

    def forward(self, words: Tensor) -> Tensor:
        model = self.text_model
        x = model.embeddings.token_embedding(words) + model.embeddings.position_embedding.weight[: words.shape[1]]
        for layer in model.encoder.layers:
            x = layer(x)
        return model.final_layer_norm(x)


def whole_table(known: Tensor, numbers: list[int]) -> Tensor:
    """CLIP's table [49408, width] from the trained rows [1 + known, width]; row 0 of them stands for every
    other word.
    """
    table = known[:1].repeat(VOCABULARY, 1)
    table[torch.tensor(numbers)] = known[1:]
    return table
