"""StableVITON's encoder copy and zero cross-attention, as UniFashion uses them (sketch in, text tokens beside it).

Modules carry the file's own names (LDM's), and are built from the shapes of its tensors. The U-Net they steer is not
here: before its output block 3 + i and before the skip is joined, h becomes h + zero_conv(block(h; copy map 8 - i)).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

FIRST_OUTPUT_BLOCK, FIRST_MAP = 3, 8
# The order of the 13 input channels: noisy latent 4, agnostic latent 4, mask (1 = keep) 1, DensePose latent 4.
PERSON_CHANNELS = 9

State = dict[str, torch.Tensor]


class ResBlock(nn.Module):
    def __init__(self, channels: int, out: int, embedding: int):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out), nn.SiLU(), nn.Identity(), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        h = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    """`heads` of width / heads each; keys and values from `context` (the queries' own tokens where None)."""

    def __init__(self, width: int, context: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(size, width, bias=False) for size in (width, context, context))
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Identity())

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        context = x if context is None else context
        q, k, v = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.to_q, x), (self.to_k, context), (self.to_v, context))
        )
        return self.to_out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GatedProjection(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(GatedProjection(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, width: int, context: int, heads: int):
        super().__init__()
        self.attn1, self.attn2 = Attention(width, width, heads), Attention(width, context, heads)
        self.ff = FeedForward(width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """[B, C, H, W] with context [B, N, c] -> [B, C, H, W], with its own residual."""

    def __init__(self, channels: int, context: int, heads: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, context, heads)])

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        h = self.proj_in(self.norm(x))
        tokens = h.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, h.shape[2:]))


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.op(x)


class EncoderCopy(nn.Module):
    """The U-Net's input and middle blocks once more; the hint joins after the first convolution.

    forward: x [B, 13, h, w], timesteps [B], tokens [B, N, c], hint latent [B, 4, h, w] -> 13 maps, first block first.
    """

    def __init__(self, state: State, heads: int):
        super().__init__()
        first = state["input_blocks.0.0.weight"]
        self.channels, embedding = first.shape[0], state["time_embed.0.weight"].shape[0]
        self.time_embed = nn.Sequential(nn.Linear(self.channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.cond_first_block = nn.Sequential(
            nn.Conv2d(state["cond_first_block.0.weight"].shape[1], self.channels, 3, padding=1)
        )
        self.input_blocks = nn.ModuleList(
            [nn.ModuleList([nn.Conv2d(first.shape[1], self.channels, 3, padding=1)])]
            + [_block(state, f"input_blocks.{n}.", embedding, heads) for n in range(1, _count(state, "input_blocks."))]
        )
        self.middle_block = _block(state, "middle_block.", embedding, heads)

    def forward(
        self, x: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor, hint: torch.Tensor
    ) -> list[torch.Tensor]:
        half = self.channels // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=x.device, dtype=torch.float32) / half)
        angles = timesteps.float()[:, None] * frequencies
        embedding = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=-1).to(x.dtype))
        entry = self.input_blocks[0]
        assert isinstance(entry, nn.ModuleList)
        h = entry[0](x) + self.cond_first_block(hint)
        maps = [h]
        for block in [*self.input_blocks[1:], self.middle_block]:
            for layer in block:
                if isinstance(layer, ResBlock):
                    h = layer(h, embedding)
                else:
                    h = layer(h, tokens) if isinstance(layer, SpatialTransformer) else layer(h)
            maps.append(h)
        return maps


class ZeroCrossAttention(nn.Module):
    """The copy and the nine places where its maps enter the decoder.

    Published heads: 8 everywhere. `strength` scales what enters; the zero convolutions of an untrained one add exactly
    0.
    """

    def __init__(self, copy: State, warp_blocks: State, warp_convs: State, heads: int = 8):
        super().__init__()
        self.control_model = EncoderCopy(copy, heads)
        count = _count(warp_blocks, "")
        self.warp_flow_blks = nn.ModuleList(
            SpatialTransformer(
                warp_blocks[f"{i}.proj_in.weight"].shape[0],
                warp_blocks[f"{i}.transformer_blocks.0.attn2.to_k.weight"].shape[1], heads,
            ) for i in range(count)
        )  # fmt: skip
        self.warp_zero_convs = nn.ModuleList(
            nn.Conv2d(warp_convs[f"{i}.weight"].shape[1], warp_convs[f"{i}.weight"].shape[0], 1) for i in range(count)
        )

    @staticmethod
    def from_state(state: State, heads: int = 8) -> ZeroCrossAttention:
        """From a StableVITON / UniFashion file's tensors in their own names; everything else in it is left alone.

        Raises ValueError when the copy or the warp blocks are missing or do not fit.
        """
        unet = "model.diffusion_model."
        parts = [
            _part(state, prefix) for prefix in ("control_model.", f"{unet}warp_flow_blks.", f"{unet}warp_zero_convs.")
        ]
        if not all(parts):
            raise ValueError(
                "This file has no zero cross-attention (control_model, warp_flow_blks and warp_zero_convs are"
                " expected): choose a StableVITON or UniFashion checkpoint."
            )
        copy, warp_blocks, warp_convs = parts
        network = ZeroCrossAttention(copy, warp_blocks, warp_convs, heads)
        names = ("control_model.", "warp_flow_blks.", "warp_zero_convs.")
        own = {name + key: tensor.float() for name, part in zip(names, parts) for key, tensor in part.items()}
        missing, unexpected = network.load_state_dict(own, strict=False)
        if missing or unexpected:
            raise ValueError(
                f"The zero cross-attention does not fit: missing {missing[:3]}, unexpected {unexpected[:3]}."
            )
        return network.eval()

    def maps(
        self, x: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor, hint: torch.Tensor
    ) -> list[torch.Tensor]:
        """The copy's maps; `hint` is brought to x's size and batch."""
        if hint.shape[-2:] != x.shape[-2:]:
            hint = interpolate(hint, x.shape[-2:], mode="bilinear", antialias=True)
        repeats = -(-len(x) // len(hint))
        return self.control_model(x, timesteps, tokens, hint.repeat(repeats, 1, 1, 1)[: len(x)])

    def enter(self, block: int, h: torch.Tensor, maps: list[torch.Tensor], strength: float = 1.0) -> torch.Tensor:
        """h before output block `block`'s skip is joined -> h with the map's term (unchanged where there is none)."""
        index = block - FIRST_OUTPUT_BLOCK
        if not 0 <= index < len(self.warp_flow_blks):
            return h
        tokens = maps[FIRST_MAP - index].flatten(2).transpose(1, 2)
        return h + strength * self.warp_zero_convs[index](self.warp_flow_blks[index](h, tokens))


def person_channels(agnostic: torch.Tensor, keep: torch.Tensor, densepose: torch.Tensor) -> torch.Tensor:
    """Scaled latents [B, 4, h, w] and the mask [B, 1, H, W] (1 = keep) -> the nine channels behind the noise."""
    keep = interpolate(
        keep.float(), agnostic.shape[-2:], mode="bilinear"
    )  # no antialias, not made binary again: as published
    return torch.cat([agnostic, keep.to(agnostic.dtype), densepose], dim=1)


def _block(state: State, prefix: str, embedding: int, heads: int) -> nn.ModuleList:
    layers: list[nn.Module] = []
    for index in range(_count(_part(state, prefix), "")):
        here = _part(state, f"{prefix}{index}.")
        if "op.weight" in here:
            layers.append(Downsample(here["op.weight"].shape[0]))
        elif "in_layers.2.weight" in here:
            out, channels = here["in_layers.2.weight"].shape[:2]
            layers.append(ResBlock(channels, out, embedding))
        else:
            context = here["transformer_blocks.0.attn2.to_k.weight"].shape[1]
            layers.append(SpatialTransformer(here["proj_in.weight"].shape[0], context, heads))
    return nn.ModuleList(layers)


def _part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _count(state: State, prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in state if name.startswith(prefix))
