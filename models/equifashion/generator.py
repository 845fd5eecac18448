"""EquiFashion's latent generator and discriminator, with the published tensor names and shapes.

Both embed the integer noise level t (0..999, not divided) by an MLP and the mean of the text tokens by a linear layer,
tile the two over the latent and append them as channels. In a checkpoint: `latent_generator.*`,
`latent_discriminator.*`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

GENERATOR_PREFIX = "latent_generator."
MULTIPLE = 8  # the generator halves three times: latent height and width must be multiples of 8


class _Conditioned(nn.Module):
    def __init__(self, features: int, context_dim: int):
        super().__init__()
        width = 4 * features
        self.time_embed = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.context_projection = nn.Linear(context_dim, width)

    def _planes(self, like: torch.Tensor, context: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Time and text as constant channels [B, 8 * features, h, w]."""
        pooled = context.mean(1) if context.ndim == 3 else context
        time = self.time_embed(t.reshape(-1, 1).to(like.dtype))
        both = torch.cat([time, self.context_projection(pooled.to(like.dtype))], 1)
        return both[:, :, None, None].expand(-1, -1, *like.shape[2:])


class LatentGenerator(_Conditioned):
    """z_gan = G(z_t, u, c, t): a proposal for the latent one level further down, in (-1, 1)."""

    def __init__(self, channels: int = 4, features: int = 64, context_dim: int = 1024):
        super().__init__(features, context_dim)
        g = features

        def down(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
            )

        def up(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )

        self.net = nn.Sequential(
            nn.Conv2d(2 * channels + 8 * g, g, 4, 2, 1), nn.LeakyReLU(0.2), down(g, 2 * g), down(2 * g, 4 * g),
            up(4 * g, 2 * g), up(2 * g, g), nn.ConvTranspose2d(g, channels, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: torch.Tensor, u: torch.Tensor, context: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """z, u: [B, C, h, w] (u standard normal), context: [B, L, D] or [B, D], t: [B] integers 0..999 -> [B, C, h, w].

        Raises ValueError when h or w is no multiple of 8.
        """
        if z.shape[-2] % MULTIPLE or z.shape[-1] % MULTIPLE:
            raise ValueError(
                f"The generator needs a latent whose sides are multiples of {MULTIPLE}; this one is {z.shape[-1]} x "
                f"{z.shape[-2]}. Use picture sides that are multiples of 64."
            )
        return self.net(torch.cat([z, u, self._planes(z, context, t)], 1))


class LatentDiscriminator(_Conditioned):
    """D(z, c, t): a map of scores [B, 1, h', w'], real high. Latents below 64 x 64 are too small for its layers."""

    def __init__(self, channels: int = 4, features: int = 64, context_dim: int = 1024):
        super().__init__(features, context_dim)
        d = features

        def block(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
            )

        self.net = nn.Sequential(
            nn.Conv2d(channels + 8 * d, d, 4, 2, 1), nn.LeakyReLU(0.2), block(d, 2 * d), block(2 * d, 4 * d),
            block(4 * d, 8 * d), nn.Conv2d(8 * d, 1, 4, 1, 0),
        )  # fmt: skip

    def forward(self, z: torch.Tensor, context: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([z, self._planes(z, context, t)], 1))


def generator_from(state: Mapping[str, torch.Tensor], prefix: str = GENERATOR_PREFIX) -> LatentGenerator:
    """The generator in a state dict, its size read from the tensors, in eval mode. Other keys are ignored.

    Raises ValueError when the file holds no generator or a broken one.
    """
    own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    if "context_projection.weight" not in own or "net.6.weight" not in own:
        raise ValueError(
            f"This file holds no ideation generator (no tensors named {prefix}…). "
            "EquiFashion checkpoints and the studio's "
            "generator have them; HieraFashDiff's and plain Stable Diffusion checkpoints do not."
        )
    width, context_dim = own["context_projection.weight"].shape
    generator = LatentGenerator(own["net.6.weight"].shape[1], width // 4, context_dim)
    missing, unexpected = generator.load_state_dict({k: v.float() for k, v in own.items()}, strict=False)
    if missing or unexpected:
        raise ValueError(
            f"The generator in this file is not complete: missing {missing[:3]}, unknown {unexpected[:3]}."
        )
    return generator.eval().requires_grad_(False)
