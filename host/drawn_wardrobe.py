"""A wardrobe of drawn garments as a batch of flat-lays, with the host's progress bar and Cancel."""

from __future__ import annotations

from dataclasses import replace

import comfy.model_management
import comfy.utils
import numpy as np
import torch

from .images import from_uint8

# The five categories as the wardrobe names them, as croquis names them; two tops for each bottom.
_DRAWN = {"upper": "upper", "lower": "lower", "dress": "overall", "shoes": "shoe", "bag": "bag"}
_TURNS = {"tops and bottoms": ("upper", "lower", "upper"), "all": ("upper", "lower", "dress", "upper", "shoes", "bag", "lower", "dress")}


def draw(seed: int, count: int, garments: str, width: int, height: int) -> tuple[torch.Tensor, str]:
    """(flat-lays [count,height,width,3] on white, a caption a line). Garment i is the same at every count and size."""
    from ..croquis import random_figure, render
    from ..croquis.garment import random_garment
    from ..croquis.wardrobe import garment_caption

    turns, bar, flats, captions = _TURNS.get(garments, (garments,)), comfy.utils.ProgressBar(count), [], []
    for number in range(count):
        comfy.model_management.throw_exception_if_processing_interrupted()
        rng = np.random.Generator(np.random.PCG64([seed, number, 62]))
        garment = random_garment(rng, _DRAWN[turns[number % len(turns)]])
        spec = replace(random_figure(0, ()), garments=(garment,))
        flats.append(render(spec, width, height, ("flat",)).flats[0])
        captions.append(garment_caption(garment)["text"])
        bar.update(1)
    return from_uint8(np.stack(flats)), "\n".join(captions)
