"""`python dev.py train NAME`: which recipe a name stands for."""

from __future__ import annotations

import sys

NAMES = ("tryon", "autoencoder")


def run(args: list[str]) -> int:
    if not args or args[0] not in NAMES:
        print(f"dev.py train takes one of {', '.join(NAMES)}, then options (--help shows them)", file=sys.stderr)
        return 2
    from .torchvision_ops import make_importable

    make_importable()  # Lightning reads it through torchmetrics
    from ..training import run as loop

    return getattr(loop, f"train_{args[0]}")(args[1:])
