"""The FastFit UNet in plain torch, with diffusers' tensor names: the network that training runs.

Stable Diffusion 1.5's inpainting UNet without text attention (arXiv 2508.20586, section 3; released code): a reference
pass with a class embedding in place of the time embedding records the K and V of every self-attention; a denoising pass
reads them beside its own ("semi-attention": a garment never sees the person or another garment). The host runs the same
weights through its own UNet; a test holds both equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KV = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Config:
    """Published values: widths (320, 640, 1280, 1280), layers 2, attention on all levels but the last, 4 latent
    channels.
    """

    widths: tuple[int, ...] = (128, 128, 128)
    layers: int = 1
    attention: tuple[bool, ...] = (True, True, True)
    head_dim: int | None = 32
    heads: int | None = None
    latent_channels: int = 32
    classes: int = 5


def sinusoid(t: Tensor, width: int) -> Tensor:
    """Timestep embedding [B, width]: cosines, then sines (flip_sin_to_cos, no frequency shift)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


class Resnet(nn.Module):
    def __init__(self, before: int, after: int, embedding: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, before, 1e-5), nn.Conv2d(before, after, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding, after)
        self.norm2, self.conv2 = nn.GroupNorm(32, after, 1e-5), nn.Conv2d(after, after, 3, padding=1)
        if before != after:
            self.conv_shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(F.silu(embedding))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor, run: Run) -> Tensor:
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        if run.record is not None:
            run.record.append((k, v))
        if run.read is not None:
            rk, rv = run.read[run.index]
            k, v = torch.cat([rk, k], 1), torch.cat([rv, v], 1)
            run.index += 1
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        if run.probes is not None:
            run.probes.append((q[:, 0], k[:, 0]))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=run.mask_for(k.shape[2], q.dtype))
        return self.to_out[0](out.transpose(1, 2).flatten(2))


@dataclass
class Run:
    """One pass: what it records, what it reads, which garments each row may see. Never kept on a module."""

    record: KV | None = None
    read: KV | None = None
    index: int = 0
    probes: list | None = None  # (q, k) of the first head of every attention, for supervision
    keep: Tensor | None = None  # [B, references] 1 use, 0 ignore; all references of one size

    def mask_for(self, keys: int, dtype: torch.dtype) -> Tensor | None:
        if self.keep is None or self.read is None:
            return None
        tokens = self.read[self.index - 1][0].shape[1] // self.keep.shape[1]
        seen = self.keep.bool().repeat_interleave(tokens, 1)
        seen = F.pad(seen, (0, keys - seen.shape[1]), value=True)
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -10000.0)[:, None, None]


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
        self.net = nn.ModuleList([GEGLU(width), nn.Identity(), nn.Linear(4 * width, width)])


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(width), SelfAttention(width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        x = x + self.attn1(self.norm1(x), run)
        return x + self.ff.net[2](self.ff.net[0](self.norm3(x)))


class Transformer(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, width, 1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([Block(width, heads)])

    def forward(self, x: Tensor, run: Run) -> Tensor:
        h = self.proj_in(self.norm(x))
        tokens = h.flatten(2).transpose(1, 2)
        tokens = self.transformer_blocks[0](tokens, run)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, h.shape[2:]))


class Sampler(nn.Module):
    def __init__(self, width: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Level(nn.Module):
    """A level of either half: resnets with an attention after each, then the change of size."""

    downsamplers: nn.ModuleList
    upsamplers: nn.ModuleList

    def __init__(self, ins: list[int], out: int, embedding: int, heads: int | None, change: str | None):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(i, out, embedding) for i in ins)
        if heads:
            self.attentions = nn.ModuleList(Transformer(out, heads) for _ in ins)
        if change:
            setattr(self, change, nn.ModuleList([Sampler(out, 2 if change == "downsamplers" else 1)]))

    def step(self, i: int, x: Tensor, embedding: Tensor, run: Run) -> Tensor:
        x = self.resnets[i](x, embedding)
        return self.attentions[i](x, run) if hasattr(self, "attentions") else x


class Middle(nn.Module):
    def __init__(self, width: int, embedding: int, heads: int):
        super().__init__()
        self.resnets = nn.ModuleList([Resnet(width, width, embedding), Resnet(width, width, embedding)])
        self.attentions = nn.ModuleList([Transformer(width, heads)])


class TimeEmbedding(nn.Module):
    def __init__(self, width: int, embedding: int):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, embedding), nn.Linear(embedding, embedding)


class FastFitUNet(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config = config
        widths, layers, c = config.widths, config.layers, config.latent_channels
        embedding = 4 * widths[0]
        self.conv_in = nn.Conv2d(2 * c + 1, widths[0], 3, padding=1)
        self.condition_conv_in = nn.Conv2d(c, widths[0], 3, padding=1)
        self.class_embedding = nn.Embedding(config.classes, embedding)
        self.time_embedding = TimeEmbedding(widths[0], embedding)
        last = len(widths) - 1
        self.down_blocks, self.up_blocks, before = nn.ModuleList(), nn.ModuleList(), widths[0]
        for level, width in enumerate(widths):
            ins = [before] + [width] * (layers - 1)
            self.down_blocks.append(
                Level(ins, width, embedding, self._heads(level), "downsamplers" if level < last else None)
            )
            before = width
        heads = before // config.head_dim if config.head_dim else config.heads
        if heads is None:
            raise ValueError("The try-on network's configuration has neither head_dim nor heads; give one of them.")
        self.mid_block = Middle(before, embedding, heads)
        for level in reversed(range(last + 1)):
            width, below = widths[level], widths[max(level - 1, 0)]
            skips = [width] * layers + [below]
            ins = [(before if i == 0 else width) + skip for i, skip in enumerate(skips)]
            self.up_blocks.append(Level(ins, width, embedding, self._heads(level), "upsamplers" if level else None))
            before = width
        self.conv_norm_out = nn.GroupNorm(32, widths[0], 1e-5)
        self.conv_out = nn.Conv2d(widths[0], c, 3, padding=1)

    def _heads(self, level: int) -> int | None:
        if not self.config.attention[level]:
            return None
        return self.config.widths[level] // self.config.head_dim if self.config.head_dim else self.config.heads

    def reference(self, latent: Tensor, label: Tensor) -> KV:
        """K,V of every self-attention, in module order, each [B, tokens, width].

        latent: garment latents [B, C, h, w] in model space (zeros for the unconditional pass). label: class ids [B].
        """
        record: KV = []
        run = Run(record=record)
        self._body(self.condition_conv_in(latent), self.class_embedding(label), run, stop_at_last_kv=True)
        return record

    def forward(
        self, x: Tensor, t: Tensor, kv: KV | None = None, *, keep: Tensor | None = None, probes: list | None = None
    ) -> Tensor:
        """The prediction [B, C, h, w].

        x: [B, 2C+1, h, w] = noisy latent, mask (1 = repaint), masked person. t: timesteps [B], 0..999. kv: of the
        references, joined along the tokens (see `join`); None: plain self-attention. keep: [B, references] 1 use, 0
        ignore.
        probes: a list that receives (q, k) of the first head of every attention.
        """
        embedding = self.time_embedding.linear_1(sinusoid(t, self.config.widths[0]).to(x.dtype))
        embedding = self.time_embedding.linear_2(F.silu(embedding))
        h = self._body(self.conv_in(x), embedding, Run(read=kv, keep=keep, probes=probes))
        return self.conv_out(F.silu(self.conv_norm_out(h)))

    def _body(self, h: Tensor, embedding: Tensor, run: Run, stop_at_last_kv: bool = False) -> Tensor:
        skips = [h]
        for level in self.down_blocks:
            assert isinstance(level, Level)
            for i in range(len(level.resnets)):
                h = level.step(i, h, embedding, run)
                skips.append(h)
            if hasattr(level, "downsamplers"):
                h = level.downsamplers[0](h)
                skips.append(h)
        h = self.mid_block.attentions[0](self.mid_block.resnets[0](h, embedding), run)
        h = self.mid_block.resnets[1](h, embedding)
        for number, level in enumerate(self.up_blocks):
            assert isinstance(level, Level)
            for i in range(len(level.resnets)):
                h = torch.cat([h, skips.pop()], 1)
                if stop_at_last_kv and number == len(self.up_blocks) - 1 and i == len(level.resnets) - 1:
                    if run.record is not None:
                        run.record.append(_last_kv(level.attentions[i], level.resnets[i](h, embedding)))
                    return h
                h = level.step(i, h, embedding, run)
            if hasattr(level, "upsamplers"):
                h = level.upsamplers[0](F.interpolate(h, size=skips[-1].shape[2:], mode="nearest"))
        return h


def _last_kv(transformer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """K,V of the network's last attention alone: what follows it in a reference pass is never read."""
    assert isinstance(transformer, Transformer)
    block = transformer.transformer_blocks[0]
    assert isinstance(block, Block)
    tokens = block.norm1(transformer.proj_in(transformer.norm(x)).flatten(2).transpose(1, 2))
    return block.attn1.to_k(tokens), block.attn1.to_v(tokens)


def join(parts: list[KV]) -> KV:
    """K,V of several references, joined along the tokens in the order given (any order gives the same result)."""
    return [(torch.cat([k for k, _ in layer], 1), torch.cat([v for _, v in layer], 1)) for layer in zip(*parts)]
