"""`python dev.py train NAME`: which recipe a name stands for."""

from __future__ import annotations

import importlib
import sys

RECIPES = {
    "autoencoder": ("run", "train_autoencoder"),
    "tryon": ("run", "train_tryon"),
    "tryon-outputs": ("run", "train_tryon_outputs"),
    "body": ("body.body", "train_body"),
    "parser": ("body.photo_parser_run", "train_parser"),
    "wardrobe": ("wardrobe.wardrobe", "train_wardrobe"),
    "attributes": ("attribute_classifier", "train_attributes"),
    "designer": ("designer.designer_run", "train_designer"),
    "designer-outputs": ("designer.designer_run", "train_designer_outputs"),
    "generator": ("generator.generator_run", "train_generator"),
}


def run(args: list[str]) -> int:
    if not args or args[0] not in RECIPES:
        print(f"dev.py train takes one of {', '.join(RECIPES)}, then options (--help shows them)", file=sys.stderr)
        return 2
    from ..setup.torchvision_ops import make_importable

    make_importable()  # Lightning reads it through torchmetrics
    module, function = RECIPES[args[0]]
    return getattr(importlib.import_module(f".{module}", __package__), function)(args[1:])
