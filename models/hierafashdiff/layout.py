"""Every name and shape of HieraFashDiff's checkpoint, from the configuration of its networks.

Written out as rules, independent of any code that loads the file: what `host/prompt/hierafashdiff_checkpoint.py` must
take without a tensor missing.
"""

from __future__ import annotations

import itertools

from . import keys

Layout = dict[str, tuple[int, ...]]

WIDTH, MULTIPLIERS, BLOCKS, ATTENTION_LEVELS, TEXT_WIDTH = 320, (1, 2, 4, 4), 2, (0, 1, 2), keys.CONTEXT_WIDTH
TIME_WIDTH = 4 * WIDTH
HINT_WIDTHS = (16, 16, 32, 32, 96, 96, 256)
VAE_WIDTH, VAE_BLOCKS, LATENT = 128, 2, 4
TEXT_BLOCKS, VOCABULARY, TOKENS = 24, 49408, 77


def published() -> Layout:
    """name -> shape of all 1581 tensors."""
    layout: Layout = {name: (1000,) for name in keys.SCHEDULE}
    layout |= below(keys.UNET, unet()) | below(keys.CONTROLNET, control_net())
    return layout | below(keys.AUTOENCODER, autoencoder()) | below(keys.TEXT + "model.", text_tower())


def below(prefix: str, part: Layout) -> Layout:
    return {prefix + name: shape for name, shape in part.items()}


def unet() -> Layout:
    """Stable Diffusion 2's UNet."""
    layout, skips = _encoder()
    width, index = skips[-1], 0
    for level in reversed(range(len(MULTIPLIERS))):
        for block in range(BLOCKS + 1):
            goal = WIDTH * MULTIPLIERS[level]
            layout |= below(f"output_blocks.{index}.0.", _res_block(width + skips.pop(), goal))
            width, place = goal, 1
            if level in ATTENTION_LEVELS:
                layout |= below(f"output_blocks.{index}.1.", _transformer(width))
                place = 2
            if level and block == BLOCKS:
                layout |= _conv(f"output_blocks.{index}.{place}.conv", width, width)
            index += 1
    return layout | _norm("out.0", width) | _conv("out.2", width, LATENT)


def control_net() -> Layout:
    """The UNet's encoder half, a hint encoder, and a 1x1 convolution for each skip connection."""
    layout, skips = _encoder()
    widths = (3, *HINT_WIDTHS, WIDTH)
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        layout |= _conv(f"input_hint_block.{2 * index}", before, after)
    for index, width in enumerate(skips):
        layout |= _conv(f"zero_convs.{index}.0", width, width, 1)
    return layout | _conv("middle_block_out.0", skips[-1], skips[-1], 1)


def autoencoder() -> Layout:
    """Stable Diffusion's KL autoencoder, downscaling 8."""
    top = VAE_WIDTH * MULTIPLIERS[-1]
    layout = _conv("encoder.conv_in", 3, VAE_WIDTH) | _conv("decoder.conv_in", LATENT, top)
    width = VAE_WIDTH
    for level, multiplier in enumerate(MULTIPLIERS):
        for block in range(VAE_BLOCKS):
            layout |= below(f"encoder.down.{level}.block.{block}.", _vae_block(width, VAE_WIDTH * multiplier))
            width = VAE_WIDTH * multiplier
        if level < len(MULTIPLIERS) - 1:
            layout |= _conv(f"encoder.down.{level}.downsample.conv", width, width)
    for level in reversed(range(len(MULTIPLIERS))):
        for block in range(VAE_BLOCKS + 1):
            layout |= below(f"decoder.up.{level}.block.{block}.", _vae_block(width, VAE_WIDTH * MULTIPLIERS[level]))
            width = VAE_WIDTH * MULTIPLIERS[level]
        if level:
            layout |= _conv(f"decoder.up.{level}.upsample.conv", width, width)
    for half in ("encoder", "decoder"):
        layout |= below(f"{half}.mid.block_1.", _vae_block(top, top)) | below(
            f"{half}.mid.block_2.", _vae_block(top, top)
        )
        layout |= _norm(f"{half}.mid.attn_1.norm", top)
        for name in ("q", "k", "v", "proj_out"):
            layout |= _conv(f"{half}.mid.attn_1.{name}", top, top, 1)
    layout |= _norm("encoder.norm_out", top) | _conv("encoder.conv_out", top, 2 * LATENT)
    layout |= _norm("decoder.norm_out", VAE_WIDTH) | _conv("decoder.conv_out", VAE_WIDTH, 3)
    return layout | _conv("quant_conv", 2 * LATENT, 2 * LATENT, 1) | _conv("post_quant_conv", LATENT, LATENT, 1)


def text_tower() -> Layout:
    """open_clip's ViT-H text tower."""
    width = TEXT_WIDTH
    layout: Layout = {"positional_embedding": (TOKENS, width), "text_projection": (width, width), "logit_scale": ()}
    layout |= {"token_embedding.weight": (VOCABULARY, width)} | _norm("ln_final", width)
    for index in range(TEXT_BLOCKS):
        block = _norm("ln_1", width) | _norm("ln_2", width) | _linear("attn.out_proj", width, width)
        block |= {"attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,)}
        block |= _linear("mlp.c_fc", width, 4 * width) | _linear("mlp.c_proj", 4 * width, width)
        layout |= below(f"transformer.resblocks.{index}.", block)
    return layout


def _encoder() -> tuple[Layout, list[int]]:
    """Time embedding, input blocks and middle block, and the width of each skip connection."""
    layout = _linear("time_embed.0", WIDTH, TIME_WIDTH) | _linear("time_embed.2", TIME_WIDTH, TIME_WIDTH)
    layout |= _conv("input_blocks.0.0", LATENT, WIDTH)
    width, skips = WIDTH, [WIDTH]
    for level, multiplier in enumerate(MULTIPLIERS):
        for _ in range(BLOCKS):
            layout |= below(f"input_blocks.{len(skips)}.0.", _res_block(width, WIDTH * multiplier))
            width = WIDTH * multiplier
            if level in ATTENTION_LEVELS:
                layout |= below(f"input_blocks.{len(skips)}.1.", _transformer(width))
            skips.append(width)
        if level < len(MULTIPLIERS) - 1:
            layout |= _conv(f"input_blocks.{len(skips)}.0.op", width, width)
            skips.append(width)
    layout |= below("middle_block.0.", _res_block(width, width)) | below("middle_block.1.", _transformer(width))
    return layout | below("middle_block.2.", _res_block(width, width)), skips


def _res_block(before: int, after: int) -> Layout:
    layout = (
        _norm("in_layers.0", before) | _conv("in_layers.2", before, after) | _linear("emb_layers.1", TIME_WIDTH, after)
    )
    layout |= _norm("out_layers.0", after) | _conv("out_layers.3", after, after)
    return layout if before == after else layout | _conv("skip_connection", before, after, 1)


def _transformer(width: int) -> Layout:
    layout = _norm("norm", width) | _linear("proj_in", width, width) | _linear("proj_out", width, width)
    block = _linear("ff.net.0.proj", width, 8 * width) | _linear("ff.net.2", 4 * width, width)
    for name, source in (("attn1", width), ("attn2", TEXT_WIDTH)):
        block |= {f"{name}.to_q.weight": (width, width)} | _linear(f"{name}.to_out.0", width, width)
        block |= {f"{name}.to_k.weight": (width, source), f"{name}.to_v.weight": (width, source)}
    for index in (1, 2, 3):
        block |= _norm(f"norm{index}", width)
    return layout | below("transformer_blocks.0.", block)


def _vae_block(before: int, after: int) -> Layout:
    layout = (
        _norm("norm1", before) | _conv("conv1", before, after) | _norm("norm2", after) | _conv("conv2", after, after)
    )
    return layout if before == after else layout | _conv("nin_shortcut", before, after, 1)


def _norm(name: str, width: int) -> Layout:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, before: int, after: int) -> Layout:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def _conv(name: str, before: int, after: int, size: int = 3) -> Layout:
    return {f"{name}.weight": (after, before, size, size), f"{name}.bias": (after,)}
