"""The Q-Former's four passes on transformers' Blip2ForImageTextRetrieval, with the language head that it lacks.

Shapes: B pictures, Q queries (32), L text tokens, h hidden width (768), d projected width (256).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, normalize

from . import qformer_keys


class LanguageHead(nn.Module):
    """BERT's head: [B, L, h] -> vocabulary logits. Names as in LAVIS (`Qformer.cls.predictions`)."""

    def __init__(self, hidden: int, vocabulary: int):
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.decoder = nn.Linear(hidden, vocabulary)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.norm(gelu(self.dense(x))))


class QFormer(nn.Module):
    """Picture, text, joint and language passes.

    temperature: what cosines are divided by for probabilities. language_head, prompt_tokens: None when the file has
    none.
    """

    def __init__(self, model: Any, temperature: float = 0.07):
        super().__init__()
        self.model: Any = model  # transformers' Blip2ForImageTextRetrieval
        self.temperature = nn.Parameter(torch.tensor(temperature))
        self.language_head: LanguageHead | None = None
        self.prompt_tokens: nn.Parameter | None = None

    @staticmethod
    def from_state(state: dict[str, torch.Tensor], config: dict | None = None, **heads: int) -> QFormer:
        """From weights in LAVIS's, UniFashion's or transformers' names, all of which must fit.

        `config`: transformers' config as a dict; without it the shapes tell. Raises ValueError naming what does not
        fit.
        """
        from transformers import Blip2Config, Blip2ForImageTextRetrieval

        lavis = qformer_keys.is_lavis(state)
        beside: dict[str, torch.Tensor] = {}
        if lavis:
            state, beside = qformer_keys.from_lavis(state)
        elif not qformer_keys.is_transformers(state):
            raise ValueError(f"These weights are no BLIP-2 retrieval model (first names: {sorted(state)[:3]}).")
        if not any(name.startswith("vision_model.") for name in state):
            raise ValueError(
                "These weights lack the vision tower: put its file (eva_vit_g as .safetensors) beside them."
            )
        settings = Blip2Config.from_dict(config or qformer_keys.config_from_shapes(state, **heads))
        # Newer processors put image tokens before the text; with None the model takes the ids as they are.
        settings.image_token_index = None
        model = Blip2ForImageTextRetrieval(settings)
        _strictly(model, state, "the model")
        if lavis:
            model.vision_model.post_layernorm.eps = 1e-5  # transformers has 1e-6 here, the original's is 1e-5
        network = QFormer(model, float(beside.get("temp", torch.tensor(0.07))))
        network._add_beside(beside)
        return network.eval()

    def _add_beside(self, beside: dict[str, torch.Tensor]) -> None:
        prefix = "Qformer.cls.predictions."
        head = {name.removeprefix(prefix): tensor for name, tensor in beside.items() if name.startswith(prefix)}
        if head:
            vocabulary, hidden = head["decoder.weight"].shape
            self.language_head = LanguageHead(hidden, vocabulary)
            names = {"transform.dense": "dense", "transform.LayerNorm": "norm", "decoder": "decoder"}
            state = {f"{new}.{part}": head[f"{old}.{part}"] for old, new in names.items() for part in ("weight", "bias")
                     if f"{old}.{part}" in head}  # fmt: skip
            if "bias" in head:
                state.setdefault("decoder.bias", head["bias"])
            _strictly(self.language_head, state, "the language head")
        if "prompt_tokens" in beside:
            self.prompt_tokens = nn.Parameter(beside["prompt_tokens"].clone())

    # --- passes ----------------------------------------------------------------------------------------------------
    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] normalised -> the vision tower's tokens [B, N, width]."""
        return self.model.vision_model(pixel_values=pixels).last_hidden_state

    def queries(self, seen: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Picture pass: [B, N, width] -> Z_I [B, Q, h]. `tokens`: other query tokens (CIR training: prompt_tokens)."""
        tokens = self.model.query_tokens if tokens is None else tokens
        return self.model.qformer(
            query_embeds=tokens.expand(len(seen), -1, -1), encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        ).last_hidden_state  # fmt: skip

    def text(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Text pass: [B, L] -> [B, L, h]; token 0 is [CLS]."""
        embedded = self.model.embeddings(input_ids=ids)
        return self.model.qformer(query_embeds=embedded, query_length=0, attention_mask=mask).last_hidden_state

    def joint(
        self, seen: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Joint pass, everything sees everything: -> [B, Q + L, h], the queries first. `tokens` as in queries()."""
        return self._both(seen, ids, torch.cat([mask.new_ones(len(mask), self.query_count), mask], dim=1), tokens)

    def language(self, seen: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Language pass: logits [B, L, vocabulary]. Queries see queries, text sees queries and the text before it.

        Position 0 of `ids` is [DEC] (the last id of the vocabulary), not [CLS].
        """
        if self.language_head is None:
            raise ValueError("This Q-Former's file has no language head: it cannot write captions.")
        q, length = self.query_count, ids.shape[1]
        sees = torch.ones(q + length, q + length, dtype=mask.dtype, device=mask.device).tril()
        sees[:q, :q] = 1
        padding = torch.cat([mask.new_ones(len(mask), q), mask], dim=1)
        return self.language_head(self._both(seen, ids, sees[None] * padding[:, None])[:, q:])

    def _both(
        self, seen: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor | None = None
    ) -> torch.Tensor:
        tokens = (self.model.query_tokens if tokens is None else tokens).expand(len(ids), -1, -1)
        embedded = self.model.embeddings(input_ids=ids, query_embeds=tokens)
        return self.model.qformer(
            query_embeds=embedded, query_length=self.query_count, attention_mask=mask, encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        ).last_hidden_state  # fmt: skip

    @property
    def query_count(self) -> int:
        return self.model.query_tokens.shape[1]

    # --- vectors ---------------------------------------------------------------------------------------------------
    def image_vectors(self, queries: torch.Tensor) -> torch.Tensor:
        """[B, Q, h] -> unit vectors [B, Q, d]."""
        return normalize(self.model.vision_projection(queries), dim=-1)

    def text_vectors(self, text: torch.Tensor) -> torch.Tensor:
        """[B, L, h] -> unit vectors [B, d] of [CLS]."""
        return normalize(self.model.text_projection(text[:, 0]), dim=-1)

    def composed_vectors(self, joint: torch.Tensor) -> torch.Tensor:
        """[B, Q + L, h] -> unit vectors [B, d] of picture + change: the text's [CLS] behind the queries."""
        return normalize(self.model.text_projection(joint[:, self.query_count]), dim=-1)

    def match_logits(self, joint: torch.Tensor) -> torch.Tensor:
        """[B, Q + L, h] -> [B, 2] (index 1 = they belong together): the head on every query, then the mean."""
        return self.model.itm_head(joint[:, : self.query_count]).mean(dim=1)

    @torch.no_grad()
    def write(
        self,
        pixels: torch.Tensor,
        start: int,
        stop: int,
        longest: int = 40,
        before_each: Callable[[], None] | None = None,
    ) -> list[list[int]]:
        """Greedy captions of the language head: token ids without `start` ([DEC]) and `stop` ([SEP]).

        At most as many as the network has places for. `before_each` is called before every token and may raise.
        """
        longest = min(longest, self.model.config.qformer_config.max_position_embeddings)
        seen = self.see(pixels)
        ids = torch.full((len(pixels), 1), start, dtype=torch.long, device=pixels.device)
        done = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
        for _ in range(longest):
            if before_each:
                before_each()
            following = self.language(seen, ids, torch.ones_like(ids))[:, -1].argmax(-1)
            following = torch.where(done, torch.full_like(following, stop), following)
            ids = torch.cat([ids, following[:, None]], dim=1)
            done |= following == stop
            if done.all():
                break
        return [[token for token in row[1:].tolist() if token != stop] for row in ids]


def best_of_queries(images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Unit vectors [I, Q, d], [T, d] -> [I, T]: a picture is as like a text as its best query is."""
    return torch.einsum("iqd,td->itq", images, texts).amax(-1)


def _strictly(module: nn.Module, state: dict[str, torch.Tensor], what: str) -> None:
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("position_ids")]
    unexpected = [name for name in unexpected if not name.endswith("position_ids")]
    if missing or unexpected:
        raise ValueError(
            f"The weights do not fit {what}: {len(missing)} missing ({', '.join(missing[:3])}), "
            f"{len(unexpected)} unexpected ({', '.join(unexpected[:3])})."
        )
