"""The encoder in a folder, whichever kind lies there."""

from __future__ import annotations

import logging
import os

from .fashion_encoder import FashionEncoder
from .open_clip_encoder import OpenClipEncoder
from .qformer_encoder import QFormerEncoder

LOG = logging.getLogger(__name__)


def load_encoder(folder: str) -> FashionEncoder:
    """The encoder in a local folder, recognised by what lies in it, never by its name.

    open_clip_config.json: open_clip. config.json of model_type blip-2 or a LAVIS state dict: Q-Former.
    """
    encoder = _recognised(folder)
    LOG.info("Load Fashion Encoder: %s, %d numbers by %d vectors a picture", encoder.name, encoder.dim, encoder.tokens)
    return encoder


def _recognised(folder: str) -> FashionEncoder:
    if os.path.exists(os.path.join(folder, "open_clip_config.json")):
        return OpenClipEncoder(folder)
    if any(name.endswith(".safetensors") for name in os.listdir(folder)):
        return QFormerEncoder(folder)
    raise ValueError(
        f"{folder} holds no encoder: expected open_clip_config.json with open_clip_model.safetensors, or a BLIP-2 "
        "retrieval model as .safetensors (turn .bin, .pt and .pth files into it with `python dev.py convert`)."
    )
