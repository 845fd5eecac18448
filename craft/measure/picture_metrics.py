"""Measures between pictures by torchmetrics, each naming the network behind it. Nothing is downloaded.

FID, KID and the like compare sets of feature vectors: the features come from an encoder that the artist loads, so the
figures compare only with others of the same encoder, never with published Inception figures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .retrieval_metrics import Figure

FEW = 2048


class _Ready(nn.Module):
    """torchmetrics asks for a network; the features are already there."""

    def __init__(self, dim: int):
        super().__init__()
        self.num_features = dim

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def set_distances(real: torch.Tensor, made: torch.Tensor, network: str) -> list[Figure]:
    """FID, KID (x 1000, as papers print it), coverage and diversity of feature sets [N, d], [M, d].

    Raises ValueError for fewer than 4 pictures a set.
    """
    if min(len(real), len(made)) < 4:
        raise ValueError(
            f"Sets of {len(real)} and {len(made)} pictures are too small to compare: give at least 4 each."
        )
    from torchmetrics.image.fid import FrechetInceptionDistance

    n, source = len(made), f"torchmetrics, features of {network}"
    size: Any = (real.shape[1],)  # a vector stands in for the picture whose features torchmetrics would compute
    fid = FrechetInceptionDistance(feature=_Ready(real.shape[1]), input_img_size=size).set_dtype(torch.float64)
    fid.update(real.double(), real=True)
    fid.update(made.double(), real=False)
    few = f"fewer than {FEW} pictures: prefer KID" if min(len(real), len(made)) < FEW else ""
    return [
        Figure("FID", float(fid.compute()), source, n, few),
        Figure(
            "KID x 1000",
            kernel_distance(real, made) * 1000,
            f"torchmetrics' kernel over all pairs, features of {network}",
            n,
        ),
        Figure("coverage", coverage(real, made), f"k = 5 (Naeem et al. 2020), features of {network}", n),
        Figure("diversity", diversity(made), f"mean cosine distance, features of {network}", n),
    ]


def kernel_distance(real: torch.Tensor, made: torch.Tensor) -> float:
    """KID: unbiased squared MMD with the cubic kernel (x.y / d + 1)^3, over all pairs, so that no random
    subset enters.
    """
    from torchmetrics.image.kid import poly_kernel

    real, made = real.double(), made.double()
    own = 0.0
    for features in (real, made):
        kernel, n = poly_kernel(features, features), len(features)
        own += float((kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1)))
    return own - 2 * float(poly_kernel(real, made).mean())


def coverage(real: torch.Tensor, made: torch.Tensor, k: int = 5) -> float:
    """Share of real pictures with a made one nearer than their k-th real neighbour (Naeem et al. 2020)."""
    k = min(k, len(real) - 1)
    radius = torch.cdist(real, real).kthvalue(k + 1, dim=1).values
    return float((torch.cdist(real, made).amin(1) < radius).float().mean())


def diversity(made: torch.Tensor) -> float:
    """Mean cosine distance between two different pictures of a set."""
    unit = torch.nn.functional.normalize(made.float(), dim=-1)
    total = float((unit @ unit.T).sum() - len(unit))
    return 1 - total / max(len(unit) * (len(unit) - 1), 1)


def paired(first: torch.Tensor, second: torch.Tensor) -> list[Figure]:
    """SSIM, PSNR and mean absolute difference of [N, H, W, 3] pictures in 0..1, pair by pair."""
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    if first.shape != second.shape:
        raise ValueError(
            f"Paired measures need pictures of one size, {tuple(first.shape)} and {tuple(second.shape)} came."
        )
    a, b = (images[..., :3].movedim(-1, 1).double() for images in (first, second))
    n = len(a)
    figures = [Figure("mean absolute difference", float((a - b).abs().mean()), "0..1", n)]
    if min(a.shape[-2:]) >= 11:
        ssim = structural_similarity_index_measure(a, b, data_range=1.0)
        assert isinstance(ssim, torch.Tensor)  # a pair only where the map is asked for
        figures.append(Figure("SSIM", float(ssim), "torchmetrics, Gaussian window 11", n))
    if not torch.equal(a, b):
        figures.append(Figure("PSNR", float(peak_signal_noise_ratio(a, b, data_range=1.0)), "torchmetrics, dB", n))
    return figures


def text_agreement(images: torch.Tensor, texts: torch.Tensor, network: str) -> Figure:
    """CLIP-S: mean of 100 max(0, cosine) of unit vectors [N, d], [N, d] (Hessel et al. 2021 without its 2.5)."""
    cosine = (images * texts).sum(-1).clamp_min(0)
    return Figure("CLIP-S", float(cosine.mean() * 100), f"100 x cosine, {network}", len(cosine))


def lpips(first: torch.Tensor, second: torch.Tensor, trunk: str, heads: str, kind: str) -> Figure:
    """LPIPS from two local files: torchvision's trunk (kind alex, vgg or squeeze) and the published linear heads.

    Pictures [N, H, W, 3] in 0..1. Raises ValueError when the files do not fit.
    """
    from .lpips_distance import Lpips

    network = Lpips.from_files(trunk, heads, kind)
    a, b = (images[..., :3].movedim(-1, 1).float() * 2 - 1 for images in (first, second))
    with torch.inference_mode():
        value = float(network(a, b).mean())
    return Figure("LPIPS", value, f"{kind} trunk and heads from local files", len(a))


def inception_score(logits: torch.Tensor, network: str, splits: int = 10) -> Figure:
    """IS (Salimans et al. 2016): exp of the mean KL between a picture's classes and all pictures' classes, from class
    logits [N, classes]. 1 (all pictures alike, or nothing recognised) .. number of classes. Raises ValueError for fewer
    than 4 pictures or than 2 classes."""
    count, classes = logits.shape
    if count < 4 or classes < 2:
        raise ValueError(
            f"An Inception score of {count} pictures and {classes} classes says nothing: give 4 and 2 at least."
        )
    from torchmetrics.image.inception import InceptionScore

    splits = max(1, min(splits, count // FEW))
    score = InceptionScore(feature=_Ready(classes), splits=splits).set_dtype(torch.float64)
    score.update(logits.double())
    with torch.random.fork_rng(devices=[]):  # it divides by chance; the same pictures give the same figure
        torch.manual_seed(0)
        mean, _ = score.compute()
    note = "" if count >= FEW else f"only {count} pictures, so it is too low"
    return Figure("IS", float(mean), f"torchmetrics, {classes} classes by {network}", count, note)
