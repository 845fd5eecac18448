"""What networks make, kept beside the true pictures: `train autoencoder --tune` reads these files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

BATCH = 8
Make = Callable[[int], tuple[Tensor, Tensor]]


@torch.no_grad()
def write_outputs(
    args: list[str],
    name: str,
    description: str,
    out: Path,
    opened: Callable[[], Make],
) -> int:
    """The command `dev.py train NAME`: opened() gives a function from a batch's number to (latents [BATCH,C,h,w],
    true pictures uint8 [BATCH,3,8h,8w]). Returns 0.
    """
    parser = argparse.ArgumentParser(prog=f"dev.py train {name}", description=description)
    parser.add_argument("--count", type=int, default=400, help="figures")
    parser.add_argument("--out", default=str(out))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(args)
    torch.set_num_threads(options.threads)
    make, latents, pictures = opened(), [], []
    for number in range(-(-options.count // BATCH)):
        made, true = make(number)
        latents.append(made.half())
        pictures.append(true)
        print(f"\r{(number + 1) * BATCH}/{options.count}", end="", flush=True)
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    save_file({"latents": torch.cat(latents), "pictures": torch.cat(pictures)}, options.out)
    print(f"\r{options.out}")
    return 0
