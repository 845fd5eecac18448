"""FastFit's tensor names: what a file holds, the network that its shapes describe, and every tensor that this network
must have.

FastFit is Stable Diffusion 1.5's inpainting UNet (diffusers' names) without text attention, plus
`class_embedding.weight` and `condition_conv_in` (paper section 3, released code). Everything is read from keys and
shapes, never from file names; only the number of heads is not in the shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

MARK = "condition_conv_in.weight"
VAE_PREFIX = "first_stage_model."
FLAGS = ("v_pred", "ztsnr")  # empty tensors with which the host's own save nodes mark prediction type and schedule
PUBLISHED_HEADS = 8


@dataclass(frozen=True)
class Architecture:
    """The network that a file describes. `heads` counts per level the same; `head_dim`, where given, takes its
    place.
    """

    widths: tuple[int, ...]
    layers: int
    depths: tuple[int, ...]
    middle_depth: int
    in_channels: int
    out_channels: int
    latent_channels: int
    classes: int
    linear_projection: bool
    heads: int | None = PUBLISHED_HEADS
    head_dim: int | None = None


def find_prefix(keys: Iterable[str]) -> str | None:
    """What stands in front of the UNet's names (often ''), None when the file holds no FastFit UNet."""
    for key in keys:
        if key.endswith(MARK) and not key.startswith(VAE_PREFIX):
            return key[: -len(MARK)]
    return None


def describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """In a few words, what a file without a FastFit UNet seems to be."""
    text_attention = any(".attn2." in key for key in shapes)
    conv_in = next(
        (shape for key, shape in shapes.items() if key.endswith(("conv_in.weight", "input_blocks.0.0.weight"))), None
    )
    if any(re.match(r"\d+\.to_q\.weight$", key) for key in shapes):
        return "attention layers alone, as CatVTON publishes them"
    if text_attention and conv_in is not None:
        return f"a UNet with text attention and {conv_in[1]} input channels, as Stable Diffusion's"
    if text_attention:
        return "a network with text attention"
    if any(key.startswith(("encoder.", "decoder.", VAE_PREFIX, "taesd_")) for key in shapes):
        return "an autoencoder alone"
    if any("lora" in key for key in shapes):
        return "a LoRA"
    return "no network that is known here"


def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    """The architecture behind a FastFit UNet's shapes (names without prefix). Raises ValueError with one sentence."""

    def of(name: str) -> tuple[int, ...]:
        if name not in shapes:
            raise ValueError(
                f"The try-on UNet lacks {name}, which is needed to tell its architecture; choose an undamaged file."
            )
        return tuple(shapes[name])

    levels = _count(shapes, "down_blocks.{}.resnets.0.conv1.weight")
    if levels < 2:
        raise ValueError(f"The try-on UNet has {levels} resolution levels; FastFit's layout needs at least 2.")
    layers = _count(shapes, "down_blocks.0.resnets.{}.conv1.weight")
    widths = tuple(of(f"down_blocks.{level}.resnets.0.conv1.weight")[0] for level in range(levels))
    depths = tuple(
        _count(shapes, f"down_blocks.{level}.attentions.0.transformer_blocks.{{}}.attn1.to_q.weight")
        for level in range(levels)
    )
    if any(width % widths[0] or width % 32 for width in widths):
        raise ValueError(f"The try-on UNet's widths are {widths}; each must be a multiple of 32 and of the first.")
    return Architecture(
        widths=widths,
        layers=layers,
        depths=depths,
        middle_depth=_count(shapes, "mid_block.attentions.0.transformer_blocks.{}.attn1.to_q.weight"),
        in_channels=of("conv_in.weight")[1],
        out_channels=of("conv_out.weight")[0],
        latent_channels=of(MARK)[1],
        classes=of("class_embedding.weight")[0],
        linear_projection=len(of("mid_block.attentions.0.proj_in.weight")) == 2,
    )


def with_heads(architecture: Architecture, config: Mapping) -> Architecture:
    """Set the heads from a diffusers `config.json` or the pack's own metadata; without either, the published 8 per
    level.

    diffusers' `attention_head_dim` is the number of heads where `num_attention_heads` is null (an old mix-up of names
    there).
    """
    heads = (
        config.get("heads") or config.get("num_attention_heads") or config.get("attention_head_dim") or PUBLISHED_HEADS
    )
    head_dim = config.get("head_dim")
    if isinstance(heads, (list, tuple)):
        if len(set(heads)) > 1:
            raise ValueError(
                f"The try-on UNet's config gives a different number of heads per level ({list(heads)}); one "
                "number is expected."
            )
        heads = heads[0]
    per_level = {width: (head_dim or width // heads) for width in architecture.widths}
    bad = [width for width, size in per_level.items() if width % (head_dim or heads)]
    if bad:
        what = f"a head size of {head_dim}" if head_dim else f"{heads} heads"
        raise ValueError(
            f"The try-on UNet's width {bad[0]} cannot be split into {what}; its config does not belong to these "
            "tensors."
        )
    return replace(architecture, heads=None if head_dim else int(heads), head_dim=int(head_dim) if head_dim else None)


def expected_shapes(a: Architecture) -> dict[str, tuple[int, ...]]:
    """Every tensor of the network and its shape."""
    out: dict[str, tuple[int, ...]] = {}
    embedding = 4 * a.widths[0]
    last = len(a.widths) - 1

    def pair(name: str, *shape: int) -> None:
        out[f"{name}.weight"], out[f"{name}.bias"] = shape, shape[:1]

    def resnet(name: str, before: int, after: int) -> None:
        pair(f"{name}.norm1", before)
        pair(f"{name}.conv1", after, before, 3, 3)
        pair(f"{name}.time_emb_proj", after, embedding)
        pair(f"{name}.norm2", after)
        pair(f"{name}.conv2", after, after, 3, 3)
        if before != after:
            pair(f"{name}.conv_shortcut", after, before, 1, 1)

    def transformer(name: str, width: int, depth: int) -> None:
        kernel = () if a.linear_projection else (1, 1)
        pair(f"{name}.norm", width)
        pair(f"{name}.proj_in", width, width, *kernel)
        pair(f"{name}.proj_out", width, width, *kernel)
        for block in (f"{name}.transformer_blocks.{i}" for i in range(depth)):
            pair(f"{block}.norm1", width)
            pair(f"{block}.norm3", width)
            for projection in ("to_q", "to_k", "to_v"):
                out[f"{block}.attn1.{projection}.weight"] = (width, width)
            pair(f"{block}.attn1.to_out.0", width, width)
            pair(f"{block}.ff.net.0.proj", 8 * width, width)
            pair(f"{block}.ff.net.2", width, 4 * width)

    pair("conv_in", a.widths[0], a.in_channels, 3, 3)
    pair("condition_conv_in", a.widths[0], a.latent_channels, 3, 3)
    out["class_embedding.weight"] = (a.classes, embedding)
    pair("time_embedding.linear_1", embedding, a.widths[0])
    pair("time_embedding.linear_2", embedding, embedding)
    before = a.widths[0]
    for level, width in enumerate(a.widths):
        for layer in range(a.layers):
            resnet(f"down_blocks.{level}.resnets.{layer}", before, width)
            before = width
            if a.depths[level]:
                transformer(f"down_blocks.{level}.attentions.{layer}", width, a.depths[level])
        if level < last:
            pair(f"down_blocks.{level}.downsamplers.0.conv", width, width, 3, 3)
    resnet("mid_block.resnets.0", before, before)
    transformer("mid_block.attentions.0", before, a.middle_depth)
    resnet("mid_block.resnets.1", before, before)
    for up, level in enumerate(reversed(range(last + 1))):
        width, below = a.widths[level], a.widths[max(level - 1, 0)]
        for layer in range(a.layers + 1):
            skip = below if layer == a.layers else width
            resnet(f"up_blocks.{up}.resnets.{layer}", before + skip, width)
            before = width
            if a.depths[level]:
                transformer(f"up_blocks.{up}.attentions.{layer}", width, a.depths[level])
        if level:
            pair(f"up_blocks.{up}.upsamplers.0.conv", width, width, 3, 3)
    pair("conv_norm_out", a.widths[0])
    pair("conv_out", a.out_channels, a.widths[0], 3, 3)
    return out


def check(shapes: Mapping[str, tuple[int, ...]], architecture: Architecture) -> None:
    """Raise ValueError naming the first three tensors that are missing, left over or of another shape."""
    expected = expected_shapes(architecture)
    missing = sorted(expected.keys() - shapes.keys())
    left_over = sorted(shapes.keys() - expected.keys())
    wrong = [
        f"{key} {tuple(shapes[key])} instead of {shape}"
        for key, shape in expected.items()
        if key in shapes and tuple(shapes[key]) != shape
    ]
    problems = [
        f"{what} {len(names)} tensors ({', '.join(names[:3])})"
        for what, names in (("lacks", missing), ("has left over", left_over), ("has of another shape", wrong))
        if names
    ]
    if problems:
        raise ValueError(f"The try-on UNet {' and '.join(problems)}; choose an undamaged FastFit file.")
    if (
        architecture.in_channels != 2 * architecture.latent_channels + 1
        or architecture.out_channels != architecture.latent_channels
    ):
        raise ValueError(
            f"The try-on UNet has {architecture.in_channels} input, {architecture.out_channels} output and "
            f"{architecture.latent_channels} "
            f"garment channels; FastFit needs noise + mask + person = {2 * architecture.latent_channels + 1}, "
            f"{architecture.latent_channels} "
            f"and {architecture.latent_channels}."
        )


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    count = 0
    while pattern.format(count) in shapes:
        count += 1
    return count
