"""HieraFashDiff's and EquiFashion's checkpoints as host MODEL, CLIP, VAE and CONTROL_NET, all from one file."""

from __future__ import annotations

import logging
from typing import NamedTuple

import comfy.controlnet
import comfy.model_base
import comfy.sd
import comfy.utils

from ..models.hierafashdiff import keys

# In no published file: buffers that the host's text encoder makes itself, and one that it never uses.
_NOT_IN_FILES = ("position_ids", "logit_scale", "text_projection")


class Parts(NamedTuple):
    model: object
    clip: object
    vae: object
    control_net: object


def load(path: str, embedding_folder: str | None = None) -> Parts:
    """Read a checkpoint without running code from it. Raises ValueError with what to do when it is refused or not one."""
    try:
        state_dict = comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as refused:  # torch has a different error class for each kind of refusal
        if type(refused).__name__ == "InterruptProcessingException":
            raise
        reason = str(refused).strip().split("\n")[0]
        raise ValueError(
            f"{path} cannot be read safely ({reason}). Run `python dev.py convert` on it and choose the .safetensors file that it writes."
        ) from refused
    return from_state_dict(state_dict, embedding_folder)


def from_state_dict(state_dict: dict, embedding_folder: str | None = None, *, text_options: dict | None = None) -> Parts:
    """Build the four parts from a full state dict (left unchanged). text_options: the host's te_model_options.

    Raises ValueError when the keys are another model's or when a network would lack weights.
    """
    state_dict = dict(keys.unwrap(state_dict))
    keys.check(state_dict)
    others = keys.unknown(state_dict)
    if others:
        logging.info("HieraFashDiff checkpoint: %d keys are not used, for example %s", len(others), ", ".join(others[:3]))
    networks = {k: v for prefix in (keys.UNET, keys.AUTOENCODER, keys.TEXT) for k, v in keys.part(state_dict, prefix).items()}
    offered = {keys.UNET: set(keys.part(state_dict, keys.UNET))}
    model, clip, vae, _ = comfy.sd.load_state_dict_guess_config(
        networks, embedding_directory=embedding_folder, te_model_options=text_options or {}
    )
    predict_noise(model)
    control = keys.part(state_dict, keys.CONTROLNET)
    control_net = comfy.controlnet.load_controlnet_state_dict(dict(control))
    _complete("UNet", model.model.diffusion_model, {k.removeprefix(keys.UNET) for k in offered[keys.UNET]})
    _complete("ControlNet", control_net.control_model, {k.removeprefix(keys.CONTROLNET) for k in control})
    return Parts(model, clip, vae, control_net)


def predict_noise(model) -> None:
    """Make a freshly loaded model an eps model.

    The host guesses from the spread of one normalisation bias and takes fine-tuned SD2 files for v-prediction; this system
    predicts eps. Only for a model that nobody else holds yet.
    """
    base = model.model
    base.model_type = comfy.model_base.ModelType.EPS
    base.model_sampling = comfy.model_base.model_sampling(base.model_config, comfy.model_base.ModelType.EPS)


def _complete(name: str, module, offered: set[str]) -> None:
    missing = sorted(key for key in module.state_dict() if key not in offered and not key.endswith(_NOT_IN_FILES))
    if missing:
        raise ValueError(f"The checkpoint's {name} lacks {len(missing)} tensors, for example {', '.join(missing[:3])}; the file is damaged or cut.")
