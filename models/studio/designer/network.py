"""The studio designer in plain torch, with the tensor names of the host's UNetModel and of its ControlNet.

A small latent diffusion UNet with text cross-attention and a ControlNet for the pose (Zhang et al. 2023) whose copy of
the encoder has no transformers. Training runs these; the host runs the same weights through its own classes, and a test
holds both equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clean_latent import open_spread

HINT_WIDTHS = (16, 16, 32, 32, 96, 96, 256)  # the host's hint block
HINT_STRIDES = (1, 1, 2, 1, 2, 1, 2)
PATCH = 8


@dataclass(frozen=True)
class Config:
    """`down`, `middle`, `up`: whether a transformer follows the resnet of each input block, the middle, each output
    block.
    """

    latent_channels: int = 32
    width: int = 64
    multiples: tuple[int, ...] = (1, 2, 2)
    head_dim: int = 32
    context: int = 64
    down: tuple[bool, ...] = (False, True, False)
    middle: bool = True
    up: tuple[bool, ...] = (False, False, True, True, False, True)

    def host_unet(self) -> dict:
        """Arguments of the host's UNetModel for this network. The host takes the depths of the upper half from
        the end.
        """
        return {
            **self._host(), "out_channels": 2 * self.latent_channels, "context_dim": self.context,
            "transformer_depth": [int(x) for x in self.down], "transformer_depth_middle": 1 if self.middle else -1,
            "transformer_depth_output": [int(x) for x in reversed(self.up)],
        }  # fmt: skip

    def host_controlnet(self) -> dict:
        """Arguments of the host's ControlNet: the same encoder without transformers, a picture of 3 channels
        as hint.
        """
        return {
            **self._host(), "hint_channels": 3, "context_dim": self.context, "transformer_depth": [0] * len(self.down),
            "transformer_depth_middle": -1,
        }  # fmt: skip

    def _host(self) -> dict:
        return {
            "image_size": 32, "in_channels": self.latent_channels, "model_channels": self.width,
            "num_res_blocks": [1] * len(self.multiples), "channel_mult": list(self.multiples),
            "use_spatial_transformer": True,
            "num_head_channels": self.head_dim, "num_heads": -1, "use_linear_in_transformer": False, "legacy": False,
        }  # fmt: skip


def sinusoid(t: Tensor, width: int) -> Tensor:
    """Timestep embedding [B, width]: cosines, then sines."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


class Resnet(nn.Module):
    def __init__(self, before: int, after: int, embedding: int):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, after))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, after), nn.SiLU(), nn.Identity(), nn.Conv2d(after, after, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    def __init__(self, width: int, context: int, head_dim: int):
        super().__init__()
        self.heads = width // head_dim
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k, self.to_v = nn.Linear(context, width, bias=False), nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x: Tensor, context: Tensor, probes: list | None = None) -> Tensor:
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        out = self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        if probes is not None:
            probes.append((q, k, out))
        return out


class GEGLU(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(GEGLU(width), nn.Identity(), nn.Linear(4 * width, width))


class Block(nn.Module):
    def __init__(self, width: int, context: int, head_dim: int):
        super().__init__()
        self.attn1, self.attn2 = Attention(width, width, head_dim), Attention(width, context, head_dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor, probes: list | None) -> Tensor:
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), context, probes)
        return x + self.ff.net(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, width: int, context: int, head_dim: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, width, 1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([Block(width, context, head_dim)])

    def forward(self, x: Tensor, context: Tensor, probes: list | None) -> Tensor:
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        tokens = self.transformer_blocks[0](tokens, context, probes)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))


class Downsample(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Stack(nn.ModuleList):
    """The layers of one block of the host's, in its order, each called with what it takes."""

    def run(
        self, x: Tensor, embedding: Tensor, context: Tensor, probes: list | None = None, size: torch.Size | None = None
    ) -> Tensor:
        for layer in self:
            if isinstance(layer, Resnet):
                x = layer(x, embedding)
            elif isinstance(layer, Transformer):
                x = layer(x, context, probes)
            elif isinstance(layer, Upsample):
                x = layer(x, size)
            else:
                x = layer(x)
        return x


def encoder(config: Config, embedding: int, transformers: tuple[bool, ...]) -> tuple[nn.ModuleList, list[int]]:
    """(input blocks, the width that each one gives)."""
    width = config.width
    blocks, widths = [Stack([nn.Conv2d(config.latent_channels, width, 3, padding=1)])], [width]
    for level, multiple in enumerate(config.multiples):
        after = multiple * config.width
        layers: list[nn.Module] = [Resnet(width, after, embedding)]
        if transformers[level]:
            layers.append(Transformer(after, config.context, config.head_dim))
        blocks.append(Stack(layers))
        widths.append(after)
        width = after
        if level < len(config.multiples) - 1:
            blocks.append(Stack([Downsample(width)]))
            widths.append(width)
    return nn.ModuleList(blocks), widths


def time_mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))


class DesignerUNet(nn.Module):
    """Guesses the clean latent and how far it may be off, [B,2C,h,w] (`clean_latent`). `forward`: x [B,C,h,w] noisy
    latent, t [B] in 0..999, context [B,L,context] text, control: what PoseControlNet returns. probes: a list that
    receives, for every text attention, q and k [B,heads,tokens,head_dim] and what it gives."""

    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config, embedding = config, 4 * config.width
        self.time_embed = time_mlp(config.width)
        self.input_blocks, widths = encoder(config, embedding, config.down)
        width = widths[-1]
        middle: list[nn.Module] = [Resnet(width, width, embedding)]
        if config.middle:
            middle += [Transformer(width, config.context, config.head_dim), Resnet(width, width, embedding)]
        self.middle_block = Stack(middle)
        self.output_blocks = nn.ModuleList()
        levels = [level for level in reversed(range(len(config.multiples))) for _ in range(2)]
        for number, level in enumerate(levels):
            after = config.multiples[level] * config.width
            layers: list[nn.Module] = [Resnet(width + widths.pop(), after, embedding)]
            if config.up[number]:
                layers.append(Transformer(after, config.context, config.head_dim))
            if level and number % 2:
                layers.append(Upsample(after))
            self.output_blocks.append(Stack(layers))
            width = after
        last = nn.Conv2d(width, 2 * config.latent_channels, 3, padding=1)
        self.out = nn.Sequential(nn.GroupNorm(32, width), nn.SiLU(), last)
        assert last.bias is not None
        open_spread(last.bias)

    def forward(
        self, x: Tensor, t: Tensor, context: Tensor, control: list[Tensor] | None = None, probes: list | None = None
    ) -> Tensor:
        embedding = self.time_embed(sinusoid(t, self.config.width).to(x.dtype))
        skips, h = [], x
        for block in self.input_blocks:
            assert isinstance(block, Stack)
            h = block.run(h, embedding, context, probes)
            skips.append(h)
        h = self.middle_block.run(h, embedding, context, probes)
        if control is not None:
            h = h + control[-1]
            skips = [skip + more for skip, more in zip(skips, control[:-1], strict=True)]
        for block in self.output_blocks:
            assert isinstance(block, Stack)
            h = torch.cat([h, skips.pop()], 1)
            h = block.run(h, embedding, context, probes, skips[-1].shape[2:] if skips else None)
        return self.out(h)


class PoseControlNet(nn.Module):
    """ControlNet over the pose picture: one residual per input block and one for the middle, in that order.

    The hint block is the host's, but nothing of it is learnt except its last convolution: the others carry each 8x8
    patch of the picture unchanged into the channels (`patch_hint`), so training may take the patches directly.
    """

    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config, embedding = config, 4 * config.width
        self.time_embed = time_mlp(config.width)
        self.input_blocks, widths = encoder(config, embedding, (False,) * len(config.down))
        self.zero_convs = nn.ModuleList(nn.Sequential(nn.Conv2d(w, w, 1)) for w in widths)
        layers, before = [], 3
        for width, stride in zip(HINT_WIDTHS, HINT_STRIDES, strict=True):
            layers += [nn.Conv2d(before, width, 3, padding=1, stride=stride), nn.SiLU()]
            before = width
        self.input_hint_block = nn.Sequential(*layers, nn.Conv2d(before, config.width, 3, padding=1))
        self.middle_block = Stack([Resnet(widths[-1], widths[-1], embedding)])
        self.middle_block_out = nn.Sequential(nn.Conv2d(widths[-1], widths[-1], 1))
        for zero in [*self.zero_convs.modules(), *self.middle_block_out.modules()]:
            if isinstance(zero, nn.Conv2d) and zero.bias is not None:
                nn.init.zeros_(zero.weight)
                nn.init.zeros_(zero.bias)
        carry_patches(self.input_hint_block)

    def forward(self, x: Tensor, hint: Tensor, t: Tensor) -> list[Tensor]:
        """x: noisy latent [B,C,h,w]; hint: pose picture [B,3,8h,8w] in 0..1; t [B]."""
        embedding = self.time_embed(sinusoid(t, self.config.width).to(x.dtype))
        guided = self.input_hint_block[-1](patch_hint(hint))
        outs, h = [], x
        for number, (block, zero) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            assert isinstance(block, Stack)
            h = block.run(h, embedding, x)
            if number == 0:
                h = h + guided
            outs.append(zero(h))
        return [*outs, self.middle_block_out(self.middle_block.run(h, embedding, x))]


GAIN = 1.2784645  # silu(GAIN) = 1: black stays 0 and full colour stays 1 through every layer of the hint block


def patch_hint(hint: Tensor) -> Tensor:
    """What the fixed layers of the hint block give for a picture [B,3,8h,8w] in 0..1: [B,256,h,w], its 8x8 patches."""
    for _ in HINT_WIDTHS:
        hint = F.silu(GAIN * hint)
    order = hint
    for _ in range(3):
        order = F.pixel_unshuffle(order, 2)
    return F.pad(order, (0, 0, 0, 0, 0, HINT_WIDTHS[-1] - order.shape[1]))


@torch.no_grad()
def carry_patches(block: nn.Sequential) -> None:
    """Set all but the last convolution of a hint block so that it moves pixels into channels and nothing else."""
    carried = 3
    for layer in list(block)[:-1]:
        if not isinstance(layer, nn.Conv2d) or layer.bias is None:
            continue
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        if layer.stride == (1, 1):
            layer.weight[range(carried), range(carried), 1, 1] = GAIN
        else:  # the four pixels of a 2x2 patch lie at taps 1 and 2, in pixel_unshuffle's order
            for channel in range(carried):
                for y in (0, 1):
                    for x in (0, 1):
                        layer.weight[4 * channel + 2 * y + x, channel, 1 + y, 1 + x] = GAIN
            carried *= 4
        layer.requires_grad_(False)
