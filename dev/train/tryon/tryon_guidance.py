"""How much each latent channel of a try-on network gains from guidance: its shares, which ride in the file's metadata.

One step from pure noise gives the mean of what a cell may show. A colour it knows; of a fine pattern it keeps a part,
and the rest of the variance is missing. Guidance makes up for what is missing, so a channel's share is the part of the
truth's variance that the network's results lack. Our own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..latents import PATCH, Latents
from . import one_step, pairs

FIGURES = 120
SEEDS = 4_100_000  # drawn for this alone
CFG = 1.25  # at it the strongest channel, were all of its variance missing, would be guided by 1 + STRONGEST
STRONGEST = 0.85


@torch.no_grad()
def missing_variance(network, latents: Latents, report: Callable[[int], None] | None = None) -> Tensor:
    """[C] in 0..1: the part of the variance inside the mask that one unguided step lacks, channel by channel."""
    made, true = (torch.zeros(latents.channels) for _ in range(2))
    for number in range(FIGURES):
        kind = pairs.KINDS[number % len(pairs.KINDS)]
        batch = pairs.collate([pairs.draw(SEEDS + number, kind[:2])])
        cells = F.max_pool2d(batch.mask.float(), PATCH)[0, 0] > 0
        result = one_step.predict(network, latents, batch, seed=number)
        made += result[0][:, cells].var(1)
        true += latents.encode(batch.person.float() / 255)[0][:, cells].var(1)
        if report:
            report(number + 1)
    return (1 - made / true).clamp(min=0)


def fitted(network, latents: Latents, report: Callable[[int], None] | None = None) -> list[float]:
    """Shares of guidance for a file's `guided`: at CFG a channel is guided by 1 + STRONGEST * its missing variance."""
    missing = missing_variance(network, latents, report)
    return [round(float(share), 2) for share in missing * STRONGEST / (CFG - 1)]


def refit(path: Path, latents: Latents) -> list[float]:
    """Fit the shares to a written try-on file and write them into it; its tensors stay as they are."""
    from safetensors.torch import load_file, save_file

    shares = fitted(one_step.load_network(path), latents, lambda n: print(f"\r{n} of {FIGURES} figures", end=""))
    described = {**one_step.described(path), "guided": shares}
    save_file(load_file(str(path)), str(path), metadata={"atelier": json.dumps(described)})
    return shares
