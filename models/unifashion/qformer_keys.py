"""Names and shapes of BLIP-2 retrieval weights: LAVIS (and UniFashion) names <-> transformers'
Blip2ForImageTextRetrieval.
"""

from __future__ import annotations

import re

import torch

# What transformers' class has no place for; QFormer keeps it beside the model.
_BESIDE = (
    "temp",
    "Qformer.cls.",
    "prompt_tokens",
    "caption_proj.",
    "query_proj.",
    "proj_layer.",
    "llm_proj.",
    "llm_query_tokens",
)

_LAVIS_TO_TRANSFORMERS = (
    (r"^visual_encoder\.cls_token$", "vision_model.embeddings.class_embedding"),
    (r"^visual_encoder\.pos_embed$", "vision_model.embeddings.position_embedding"),
    (r"^visual_encoder\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual_encoder\.blocks\.(\d+)\.norm([12])\.", r"vision_model.encoder.layers.\1.layer_norm\2."),
    (r"^visual_encoder\.blocks\.(\d+)\.attn\.qkv\.", r"vision_model.encoder.layers.\1.self_attn.qkv."),
    (r"^visual_encoder\.blocks\.(\d+)\.attn\.proj\.", r"vision_model.encoder.layers.\1.self_attn.projection."),
    (r"^visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
    (r"^ln_vision\.", "vision_model.post_layernorm."),
    (r"^Qformer\.bert\.embeddings\.LayerNorm\.", "qformer.layernorm."),
    (r"^Qformer\.bert\.embeddings\.(word|position)_embeddings\.", r"embeddings.\1_embeddings."),
    # Only `attention.self.`: a plain "self" would also hit the vision tower's self_attn.
    (
        r"^Qformer\.bert\.encoder\.layer\.(\d+)\.(cross)?attention\.self\.",
        r"qformer.encoder.layer.\1.\2attention.attention.",
    ),
    (r"^Qformer\.bert\.encoder\.layer\.", "qformer.encoder.layer."),
    (r"^vision_proj\.", "vision_projection."),
    (r"^text_proj\.", "text_projection."),
)


def is_lavis(state: dict[str, torch.Tensor]) -> bool:
    return "Qformer.bert.embeddings.word_embeddings.weight" in state


def is_transformers(state: dict[str, torch.Tensor]) -> bool:
    return "embeddings.word_embeddings.weight" in state and "qformer.layernorm.weight" in state


def transformers_name(name: str) -> str:
    """The transformers name of a LAVIS parameter (which is not kept beside the model)."""
    for pattern, replacement in _LAVIS_TO_TRANSFORMERS:
        name, hits = re.subn(pattern, replacement, name)
        if hits:
            return name.replace(".Noneattention.", ".attention.")
    return name


def from_lavis(state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(state in transformers' names, what is kept beside it in LAVIS's own names)."""
    renamed, beside = {}, {}
    for name, tensor in state.items():
        if name.endswith("position_ids") or name.endswith((".q_bias", ".v_bias")):
            continue
        if name.startswith(_BESIDE):
            beside[name] = tensor
        else:
            renamed[transformers_name(name)] = tensor
    for name, query in state.items():
        if name.endswith(".attn.q_bias"):
            value = state[name.replace("q_bias", "v_bias")]
            # LAVIS has no bias on keys; transformers keeps one vector for all three.
            renamed[transformers_name(name.replace("q_bias", "qkv.bias"))] = torch.cat(
                [query, torch.zeros_like(query), value]
            )
    return renamed, beside


def with_eva_tower(state: dict[str, torch.Tensor], tower: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add the vision tower from its own file (eva_vit_g names: `blocks.N...`): its last block is not used, as
    in LAVIS.
    """
    blocks = 1 + max(int(name.split(".")[1]) for name in tower if name.startswith("blocks."))
    wanted = ("cls_token", "pos_embed", "patch_embed.", "blocks.")
    kept = {f"visual_encoder.{name}": tensor for name, tensor in tower.items()
            if name.startswith(wanted) and not name.startswith(f"blocks.{blocks - 1}.")}  # fmt: skip
    return {**state, **kept}


def config_from_shapes(
    state: dict[str, torch.Tensor], heads: int | None = None, vision_heads: int | None = None
) -> dict:
    """The transformers config (as a dict) of a state in transformers' names.

    Head counts are not in the tensors: 64 numbers a head unless given, 88 in EVA ViT-g (1408 wide).
    """
    word, position = state["embeddings.word_embeddings.weight"], state["embeddings.position_embeddings.weight"]
    patch = state["vision_model.embeddings.patch_embedding.weight"]
    width, tokens = patch.shape[0], state["vision_model.embeddings.position_embedding"].shape[1] - 1
    hidden = word.shape[1]
    crossed = sorted({int(name.split(".")[3]) for name in state if ".crossattention." in name})
    return {
        "image_token_index": None,
        "num_query_tokens": state["query_tokens"].shape[1],
        "image_text_hidden_size": state["vision_projection.weight"].shape[0],
        "qformer_config": {
            "vocab_size": word.shape[0], "hidden_size": hidden, "max_position_embeddings": position.shape[0],
            "num_hidden_layers": _count(state, r"^qformer\.encoder\.layer\.(\d+)\."),
            "num_attention_heads": heads or max(1, hidden // 64),
            "intermediate_size": state["qformer.encoder.layer.0.intermediate_query.dense.weight"].shape[0],
            "cross_attention_frequency": crossed[1] - crossed[0] if len(crossed) > 1 else 2,
            "encoder_hidden_size": width, "use_qformer_text_input": True,
        },
        "vision_config": {
            "hidden_size": width, "patch_size": patch.shape[-1], "image_size": round(tokens**0.5) * patch.shape[-1],
            "num_hidden_layers": _count(state, r"^vision_model\.encoder\.layers\.(\d+)\."),
            "num_attention_heads": vision_heads or (width // 88 if width == 1408 else max(1, width // 64)),
            "intermediate_size": state["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        },
    }  # fmt: skip


def _count(state: dict[str, torch.Tensor], pattern: str) -> int:
    return 1 + max(int(match.group(1)) for match in (re.match(pattern, name) for name in state) if match)
