"""The studio latents: principal components of 8x8 patches, half-whitened. Encoding is one matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PATCH = 8


@dataclass(frozen=True)
class Latents:
    """encode: [K, 192], decode: [192, K], mean: [192]; patches are 8x8x3 pictures in 0..1, channel first."""

    encode_matrix: Tensor
    decode_matrix: Tensor
    mean: Tensor

    @property
    def channels(self) -> int:
        return self.encode_matrix.shape[0]

    def encode(self, picture: Tensor) -> Tensor:
        """[B,3,H,W] in 0..1 -> [B,K,H/8,W/8]."""
        encode = self.encode_matrix.to(picture.device)
        kernel, bias = encode.view(-1, 3, PATCH, PATCH), -(encode @ self.mean.to(picture.device))
        return torch.nn.functional.conv2d(picture, kernel, bias, stride=PATCH)

    def decode(self, latent: Tensor) -> Tensor:
        """The best linear picture of a latent, [B,K,h,w] -> [B,3,8h,8w]; the trained decoder is sharper."""
        decode, mean = self.decode_matrix.to(latent.device), self.mean.to(latent.device)
        patches = torch.einsum("pk,bkhw->bphw", decode, latent) + mean[:, None, None]
        return torch.nn.functional.pixel_shuffle(patches, PATCH)

    def save(self, path: Path) -> None:
        from safetensors.torch import save_file

        save_file({"encode": self.encode_matrix, "decode": self.decode_matrix, "mean": self.mean}, str(path))

    @classmethod
    def load(cls, path: Path) -> Latents:
        from safetensors.torch import load_file

        tensors = load_file(str(path))
        return cls(tensors["encode"].contiguous(), tensors["decode"].contiguous(), tensors["mean"])


def patches_of(pictures: np.ndarray) -> np.ndarray:
    """uint8 [N,H,W,3] -> float32 [N*h*w, 192] in 0..1, channel first inside a patch."""
    n, height, width, _ = pictures.shape
    grid = pictures.reshape(n, height // PATCH, PATCH, width // PATCH, PATCH, 3).transpose(0, 1, 3, 5, 2, 4)
    return (grid.reshape(-1, 3 * PATCH * PATCH) / np.float32(255)).astype(np.float32)


def fit(pictures: np.ndarray, channels: int = 32) -> Latents:
    """Latents of mean variance 1 from uint8 pictures [N,H,W,3]: each component divided by the root of its deviation.

    Fully whitened small components would reach 11 deviations; unwhitened ones would drown them. Half-way, the first
    channel has a deviation of about 3.3 and the last of about 0.5.
    """
    patches = patches_of(pictures)
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T).astype(np.float64))
    order = np.argsort(values)[::-1][:channels]
    deviations, basis = np.sqrt(values[order]), vectors[:, order].T
    gain = 1 / np.sqrt(deviations)
    gain *= np.sqrt(channels / np.sum((gain * deviations) ** 2))
    encode = torch.from_numpy((gain[:, None] * basis).astype(np.float32))
    decode = torch.from_numpy((basis / gain[:, None]).T.astype(np.float32)).contiguous()
    return Latents(encode, decode, torch.from_numpy(mean.astype(np.float32)))
