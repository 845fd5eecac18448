"""The studio autoencoder in the host's TAESD layout (tensor names and widths of the host's tiny autoencoder, 8x down).

The encoder is linear, held exactly by a ReLU network: it is the projection of 8x8 patches on their principal components
(`exact_encoder`). Only the decoder is trained, thin, and zero-padded to the layout's width of 64, which changes
nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HOST_WIDTH = 64
THIN = (16, 32, 48, 64)  # decoder widths from full resolution to 1/8
VAE_SCALE = 0.3  # the decoder begins with tanh(x / 3) * 3: latents are scaled down so that it never saturates


def conv3(before: int, after: int, bias: bool = True, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=bias, stride=stride)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """relu(three convolutions + x)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(conv3(width, width), nn.ReLU(), conv3(width, width), nn.ReLU(), conv3(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)


def make_encoder(latent_channels: int, width: int = HOST_WIDTH) -> nn.Sequential:
    halvings = [
        layer for _ in range(3) for layer in (conv3(width, width, False, 2), Block(width), Block(width), Block(width))
    ]
    return nn.Sequential(conv3(3, width), Block(width), *halvings, conv3(width, latent_channels))


def make_decoder(latent_channels: int, widths: tuple[int, ...] = THIN) -> nn.Sequential:
    """widths: from full resolution down to 1/8."""
    full, half, quarter, eighth = widths
    layers: list[nn.Module] = [Clamp(), conv3(latent_channels, eighth), nn.ReLU()]
    for here, above in ((eighth, quarter), (quarter, half), (half, full)):
        layers += [Block(here), Block(here), Block(here), nn.Upsample(scale_factor=2), conv3(here, above, bias=False)]
    return nn.Sequential(*layers, Block(full), conv3(full, 3))


class StudioAutoencoder(nn.Module):
    """`encode`: [B,3,H,W] in 0..1 -> [B,K,H/8,W/8]; `decode` the way back (not clamped)."""

    vae_scale: Tensor
    vae_shift: Tensor

    def __init__(self, latent_channels: int = 32, widths: tuple[int, ...] = (HOST_WIDTH,) * 4):
        super().__init__()
        self.taesd_encoder = make_encoder(latent_channels)
        self.taesd_decoder = make_decoder(latent_channels, widths)
        self.register_buffer("vae_scale", torch.tensor(VAE_SCALE))
        self.register_buffer("vae_shift", torch.tensor(0.0))

    def encode(self, picture: Tensor) -> Tensor:
        return self.taesd_encoder(picture) / self.vae_scale + self.vae_shift

    def decode(self, latent: Tensor) -> Tensor:
        return self.taesd_decoder((latent - self.vae_shift) * self.vae_scale)


def exact_encoder(projection: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Encoder tensors (without prefix) that compute `VAE_SCALE * projection @ (patch - mean)` for pictures in 0..1.

    projection: [K, 192], patches 3x8x8 channel first; mean: [192]. Three strided convolutions gather 2x2 pixels each,
    the third one projects; every block is zero, which is the identity on what is not negative, except that one adds an
    offset so that no projection is negative and the last convolution takes it away again.
    """
    channels = projection.shape[0]
    tensors = {name: torch.zeros_like(value) for name, value in make_encoder(channels).state_dict().items()}
    for c in range(3):
        tensors["0.weight"][c, c, 1, 1] = 1
    for name, width in (("2.weight", 3), ("6.weight", 12)):
        for dy in range(2):
            for dx in range(2):
                for c in range(width):
                    tensors[name][(dy * 2 + dx) * width + c, c, 1 + dy, 1 + dx] = 1
    kernel = (VAE_SCALE * projection).view(channels, 3, 8, 8)
    for y in range(8):
        for x in range(8):
            (y4, y2, y1), (x4, x2, x1) = ((n >> 2, n >> 1 & 1, n & 1) for n in (y, x))
            source = (y2 * 2 + x2) * 12 + (y1 * 2 + x1) * 3
            tensors["10.weight"][:channels, source : source + 3, 1 + y4, 1 + x4] = kernel[:, :, y, x]
    lowest = kernel.flatten(1).clamp(max=0).sum(1).min()
    offset = 2.0 ** torch.ceil(torch.log2(-lowest)).item()  # a power of two is exact in half precision
    tensors["11.conv.4.bias"][:channels] = offset
    for k in range(channels):
        tensors["14.weight"][k, k, 1, 1] = 1
    tensors["14.bias"] = -(VAE_SCALE * projection @ mean) - offset
    return tensors


def padded_decoder(thin: dict[str, Tensor], latent_channels: int) -> dict[str, Tensor]:
    """Decoder tensors of the host's width from those of a thinner one, padded with zeros: the same function."""
    wide = make_decoder(latent_channels, (HOST_WIDTH,) * 4).state_dict()
    result = {}
    for name, tensor in wide.items():
        result[name] = torch.zeros_like(tensor)
        result[name][tuple(slice(0, n) for n in thin[name].shape)] = thin[name]
    return result


def thin_decoder(wide: dict[str, Tensor], latent_channels: int, widths: tuple[int, ...] = THIN) -> dict[str, Tensor]:
    """The way back from `padded_decoder`: the same function at a fraction of the work.

    Errors: ValueError when the file's decoder fills more than these widths.
    """
    result = {}
    for name, tensor in make_decoder(latent_channels, widths).state_dict().items():
        result[name] = wide[name][tuple(slice(0, n) for n in tensor.shape)].clone()
        if result[name].count_nonzero() != wide[name].count_nonzero():
            raise ValueError(
                f"Decoder tensor {name} is wider than {tuple(tensor.shape)}; load this file at the full width."
            )
    return result


def linear_encoder(encoder: nn.Module) -> tuple[Tensor, Tensor]:
    """(kernel [K,3,8,8], bias [K]) of the one strided convolution that an exact encoder is, latents in model space.

    Read off by showing it a black patch and one lit subpixel at a time.
    Errors: ValueError when the encoder is not such a map (a trained one, say).
    """
    generator = torch.Generator().manual_seed(0)
    probe = torch.rand(1, 3, 16, 24, generator=generator)
    with torch.no_grad():
        black = encoder(torch.zeros(1, 3, 8, 8))[0, :, 0, 0]
        lit = encoder(torch.eye(192).view(192, 3, 8, 8))[:, :, 0, 0]
        kernel, bias = (lit - black).T.reshape(-1, 3, 8, 8) / VAE_SCALE, black / VAE_SCALE
        error = (nn.functional.conv2d(probe, kernel, bias, stride=8) - encoder(probe) / VAE_SCALE).abs().max().item()
    if error > 1e-3:
        raise ValueError(
            f"This encoder is not a linear map of 8x8 patches (it differs by {error:.3g}); expected the studio"
            f" autoencoder."
        )
    return kernel.contiguous(), bias


def host_file(projection: Tensor, mean: Tensor, thin_decoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of the file that the host's VAE class takes."""
    tensors = {f"taesd_encoder.{name}": value for name, value in exact_encoder(projection, mean).items()}
    decoder = padded_decoder(thin_decoder, projection.shape[0])
    tensors |= {f"taesd_decoder.{name}": value for name, value in decoder.items()}
    tensors |= {"vae_scale": torch.tensor(VAE_SCALE), "vae_shift": torch.tensor(0.0)}
    return tensors
