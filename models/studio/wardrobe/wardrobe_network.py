"""The studio wardrobe network: BLIP-2's Q-Former in small, with a convolutional picture trunk of its own.

Learned queries and text tokens run through the same transformer layers (shared self-attention, a feed-forward part
each), and every second layer lets the queries look at the picture. The four passes are UniFashion's: picture, text,
joint, language.
Shapes: B pictures, Q queries, L text tokens, w width, d width of the compared vectors.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..card import WardrobeCard, fill, read_network
from .wardrobe_picture import SIDE
from .wardrobe_words import DEC, LONGEST_TEXT, PAD, SEP, VOCABULARY

NEVER = -1e4


@dataclass(frozen=True)
class WardrobeConfig:
    trunk: tuple[int, int, int, int] = (32, 64, 96, 192)
    width: int = 128
    depth: int = 4
    heads: int = 4
    queries: int = 8
    dim: int = 96


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    padding = 1 if kernel == 3 else 0
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.GELU()
    )


class Trunk(nn.Module):
    """[B,3,SIDE,SIDE] in 0..1 -> picture tokens [B,(SIDE/16)^2,widths[3]] with their places added."""

    def __init__(self, widths: tuple[int, int, int, int]):
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Sequential(_convolution(3, a, 3, 2), _convolution(a, b, 3, 2))
        self.fine = _convolution(b, b, 3)
        self.down_1, self.middle = _convolution(b, c, 2, 2), nn.ModuleList(_convolution(c, c, 3) for _ in range(2))
        self.down_2, self.coarse = _convolution(c, d, 2, 2), nn.ModuleList(_convolution(d, d, 3) for _ in range(2))
        self.places = nn.Parameter(torch.randn(1, (SIDE // 16) ** 2, d) * 0.02)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.stem((pictures - 0.6) * 3.0)
        x = x + self.fine(x)
        x = self.down_1(x)
        for layer in self.middle:
            x = x + layer(x)
        x = self.down_2(x)
        for layer in self.coarse:
            x = x + layer(x)
        return x.flatten(2).transpose(1, 2) + self.places


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, seen: int | None = None):
        super().__init__()
        self.heads, seen = heads, seen or width
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(seen, width), nn.Linear(seen, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.q(x), self.k(seen), self.v(seen)))
        if torch.is_grad_enabled():  # written out: the fused form's backward pass is several times slower on CPUs
            scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
            answer = (scores if mask is None else scores.masked_fill(~mask, NEVER)).softmax(-1).to(v) @ v
        else:
            answer = F.scaled_dot_product_attention(q, k, v, mask)
        return self.out(answer.transpose(1, 2).flatten(2))


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))


class Layer(nn.Module):
    """Self-attention over queries and text, for queries also cross-attention to the picture, a feed-forward
    part each.
    """

    def __init__(self, width: int, heads: int, seen: int | None):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width) if seen else None
        self.cross = Attention(width, heads, seen) if seen else None
        self.of_queries, self.of_text = _feed_forward(width), _feed_forward(width)

    def forward(self, x: Tensor, queries: int, mask: Tensor | None, seen: Tensor | None) -> Tensor:
        normed = self.norm(x)
        x = x + self.attention(normed, normed, mask)
        q, text = x[:, :queries], x[:, queries:]
        if queries:
            if self.cross is not None and self.cross_norm is not None:
                q = q + self.cross(self.cross_norm(q), seen)
            q = q + self.of_queries(q)
        return torch.cat([q, text + self.of_text(text)], 1) if text.shape[1] else q


class WardrobeNetwork(nn.Module):
    """temperature: what cosines are divided by. reading_temperature: what the language head's logits are divided by so
    that its chances are right as often as they say (fitted after training on garments that were not trained on)."""

    reading_temperature: Tensor

    def __init__(self, config: WardrobeConfig = WardrobeConfig()):
        super().__init__()
        self.config, width = config, config.width
        self.trunk, self.seen_norm = Trunk(config.trunk), nn.LayerNorm(config.trunk[3])
        self.query_tokens = nn.Parameter(torch.randn(1, config.queries, width) * 0.3)
        self.words = nn.Embedding(len(VOCABULARY), width)
        self.places = nn.Parameter(torch.randn(1, LONGEST_TEXT, width) * 0.1)
        nn.init.normal_(self.words.weight, std=0.3)
        self.layers = nn.ModuleList(
            Layer(width, config.heads, config.trunk[3] if i % 2 == 0 else None) for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.vision_proj, self.text_proj = nn.Linear(width, config.dim), nn.Linear(width, config.dim)
        self.itm_head, self.language_head = nn.Linear(width, 2), nn.Linear(width, len(VOCABULARY))
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.register_buffer("reading_temperature", torch.tensor(1.0))

    # --- passes
    def see(self, pictures: Tensor) -> Tensor:
        """[B,3,SIDE,SIDE] in 0..1 -> picture tokens [B,N,c]."""
        return self.seen_norm(self.trunk(pictures))

    def queries(self, seen: Tensor) -> Tensor:
        """Picture pass: [B,N,c] -> [B,Q,w]."""
        return self._run(self.query_tokens.expand(len(seen), -1, -1), self.config.queries, None, seen)

    def text(self, ids: Tensor) -> Tensor:
        """Text pass: [B,L] with [CLS] first and PAD behind -> [B,L,w]."""
        return self._run(self._embedded(ids), 0, (ids != PAD)[:, None, None], None)

    def joint(self, seen: Tensor, ids: Tensor) -> Tensor:
        """Joint pass, everything sees everything: -> [B,Q+L,w], queries first."""
        real = torch.cat([ids.new_ones(len(ids), self.config.queries).bool(), ids != PAD], 1)
        return self._run(self._both(ids), self.config.queries, real[:, None, None], seen)

    def language(self, seen: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Language pass: ids [B,L] with [DEC] first -> (the queries [B,Q,w], which do not see the text and so are those
        of the picture pass, logits [B,L,vocabulary] of the word that follows)."""
        q, length = self.config.queries, ids.shape[1]
        sees = torch.ones(q + length, q + length, dtype=torch.bool, device=ids.device).tril()
        sees[:q, :q] = True
        x = self._run(self._both(ids), q, sees, seen)
        return x[:, :q], self.language_head(x[:, q:])

    def _embedded(self, ids: Tensor) -> Tensor:
        return self.words(ids) + self.places[:, : ids.shape[1]]

    def _both(self, ids: Tensor) -> Tensor:
        return torch.cat([self.query_tokens.expand(len(ids), -1, -1), self._embedded(ids)], 1)

    def _run(self, x: Tensor, queries: int, mask: Tensor | None, seen: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, queries, mask, seen)
        return self.norm(x)

    # --- vectors (not normalised, as UniFashion's losses take them)
    def image_vectors(self, queries: Tensor) -> Tensor:
        """[B,Q,w] -> [B,Q,d]."""
        return self.vision_proj(queries)

    def text_vectors(self, text: Tensor) -> Tensor:
        """[B,L,w] -> [B,d] of [CLS]."""
        return self.text_proj(text[:, 0])

    def composed_vectors(self, joint: Tensor) -> Tensor:
        """[B,Q+L,w] -> [B,d] of picture and change: the text's [CLS] behind the queries."""
        return self.text_proj(joint[:, self.config.queries])

    def match_logits(self, joint: Tensor) -> Tensor:
        """[B,Q+L,w] -> [B,Q,2]; index 1 = they belong together."""
        return self.itm_head(joint[:, : self.config.queries])

    @torch.no_grad()
    def write(
        self, pictures: Tensor, doubt: float = 1.0, longest: int = LONGEST_TEXT - 2
    ) -> tuple[list[list[int]], Tensor]:
        """Greedy captions: token ids without marks of every picture, and the chances [B,L,vocabulary] that every token
        was chosen from. doubt: above 1 the chances are less sure than the fitted ones."""
        seen = self.see(pictures)
        ids = torch.full((len(pictures), 1), DEC, dtype=torch.long, device=pictures.device)
        chances: list[Tensor] = []
        done = torch.zeros(len(pictures), dtype=torch.bool, device=pictures.device)
        for _ in range(longest):
            logits = self.language(seen, ids)[1][:, -1].float()
            chances.append((logits / (self.reading_temperature.float() * doubt)).softmax(-1))
            best = logits.argmax(-1).masked_fill(done, SEP)
            ids = torch.cat([ids, best[:, None]], 1)
            done |= best == SEP
            if done.all():
                break
        rows = [row[: row.index(SEP)] if SEP in row else row for row in ids[:, 1:].tolist()]
        return rows, torch.stack(chances, 1)


def padded(rows: list[list[int]]) -> Tensor:
    """Token rows of any lengths -> [B,L] with PAD behind."""
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def save_network(network: WardrobeNetwork, path: Path, note: str = "") -> None:
    """fp16 weights with configuration and vocabulary as metadata."""
    from safetensors.torch import save_file

    tensors = {
        k: v.detach().half().contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    about = {
        "format": "wardrobe",
        "network": asdict(network.config),
        "vocabulary": list(VOCABULARY),
        "side": SIDE,
        "note": note,
    }
    save_file(tensors, str(path), {"atelier": json.dumps(about)})


def load_network(path: Path) -> WardrobeNetwork:
    """The network of a file that `save_network` wrote, in float32. Raises ValueError for any other file."""
    card, tensors = read_network(path, WardrobeCard, "studio wardrobe network")
    if tuple(card.vocabulary) != VOCABULARY or card.side != SIDE:
        raise ValueError(
            f"{Path(path).name} was trained with another vocabulary or picture size than this version's; restore the"
            " pack's own file."
        )
    settings = card.network.model_dump() | {"trunk": tuple(card.network.trunk)}
    return fill(WardrobeNetwork(WardrobeConfig(**settings)), tensors, Path(path).name)
