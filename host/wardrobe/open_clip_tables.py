"""What open_clip_config.json may hold: the fields of open_clip's own configuration, with types and ranges.

Left out on purpose: everything that names a repository (`hf_model_name` and its company).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...models.configuration import Heads, Layers, Name, PictureSize, Share, Table, Width

_Ratio = Annotated[float, Field(gt=0, le=64)]
_Number = Annotated[float, Field(ge=-1e6, le=1e6)]
_Tokens = Annotated[int, Field(ge=1, le=65536)]
_Sides = PictureSize | Annotated[list[PictureSize], Field(min_length=2, max_length=2)]
_Three = Annotated[list[_Number], Field(min_length=3, max_length=3)]


class _NormTable(Table):
    eps: Annotated[float, Field(gt=0, le=1)] | None = None


class _ActTable(Table):
    approximate: Literal["none", "tanh"] | None = None


class _BlockTable(Table):
    ls_init_value: _Number | None = None
    mlp_ratio: _Ratio | None = None
    output_tokens: bool | None = None
    act_kwargs: _ActTable | None = None
    norm_kwargs: _NormTable | None = None
    block_type: Name | None = None
    qk_norm: bool | None = None
    scaled_cosine_attn: bool | None = None
    scale_heads: bool | None = None
    scale_attn_inner: bool | None = None
    scale_attn: bool | None = None
    scale_fc: bool | None = None
    final_ln_after_pool: bool | None = None
    pool_type: Name | None = None


class VisionTable(_BlockTable):
    layers: Layers | Annotated[list[Layers], Field(min_length=4, max_length=4)] | None = None
    width: Width | None = None
    head_width: Width | None = None
    patch_size: PictureSize | None = None
    image_size: _Sides | None = None
    patch_dropout: Share | None = None
    attentional_pool: bool | Name | None = None
    attn_pooler_queries: _Tokens | None = None
    attn_pooler_heads: Heads | None = None
    no_ln_pre: bool | None = None
    pos_embed_type: Name | None = None
    timm_model_name: Name | None = None
    timm_model_pretrained: bool | None = None
    timm_pool: Name | None = None
    timm_proj: Name | None = None
    timm_proj_bias: bool | None = None
    timm_drop: Share | None = None
    timm_drop_path: Share | None = None


class TokenizerTable(Table):
    clean: Literal["canonicalize", "lower", "whitespace"] | None = None
    strip_sep_token: bool | None = None
    language: Name | None = None


class TextTable(_BlockTable):
    context_length: _Tokens | None = None
    vocab_size: Annotated[int, Field(ge=1, le=2_000_000)] | None = None
    hf_tokenizer_name: Name | None = None
    tokenizer_mode: Literal["clips", ""] | None = None
    tokenizer_kwargs: TokenizerTable | None = None
    width: Width | None = None
    heads: Heads | None = None
    layers: Layers | None = None
    embed_cls: bool | None = None
    pad_id: Annotated[int, Field(ge=0, le=2_000_000)] | None = None
    eos_id: Annotated[int, Field(ge=0, le=2_000_000)] | None = None
    no_causal_mask: bool | None = None
    proj_bias: bool | None = None
    proj_type: Name | None = None


class MultimodalTable(TextTable):
    dim_head: Width | None = None
    n_queries: _Tokens | None = None
    attn_pooler_heads: Heads | None = None


class ModelTable(Table):
    embed_dim: Width
    vision_cfg: VisionTable
    text_cfg: TextTable = Field(default_factory=TextTable)
    multimodal_cfg: MultimodalTable | None = None
    quick_gelu: bool | None = None
    custom_text: bool | None = None
    init_logit_scale: _Number | None = None
    init_logit_bias: _Number | None = None
    nonscalar_logit_scale: bool | None = None


class PreprocessTable(Table):
    size: _Sides | None = None
    mode: Name | None = None
    mean: _Three | None = None
    std: Annotated[list[Annotated[float, Field(gt=0, le=1e6)]], Field(min_length=3, max_length=3)] | None = None
    interpolation: Name | None = None
    resize_mode: Name | None = None
    fill_color: Annotated[int, Field(ge=0, le=255)] | None = None


class OpenClipTable(Table):
    model_cfg: ModelTable
    preprocess_cfg: PreprocessTable | None = None
