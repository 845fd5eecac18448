"""HieraFashDiff's and EquiFashion's checkpoints as host MODEL, CLIP, VAE and CONTROL_NET, all from one file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import comfy.controlnet
import comfy.model_base
import comfy.sd
import comfy.utils

from ...models.hierafashdiff import keys

if TYPE_CHECKING:
    from ..host_types import Model

LOG = logging.getLogger(__name__)

# Buffers that some versions of the host's text encoder make themselves, and a scale of its own beside the file's.
_NOT_IN_FILES = ("position_ids", "logit_scale")


class Parts(NamedTuple):
    model: object
    clip: object
    vae: object
    control_net: object


def load(path: str, embedding_folder: str | None = None) -> Parts:
    """Read a checkpoint without running code from it. Raises ValueError with what to do when it is refused or not
    one.
    """
    try:
        state_dict = comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as refused:  # torch has a different error class for each kind of refusal
        if type(refused).__name__ == "InterruptProcessingException":
            raise
        reason = str(refused).strip().split("\n")[0]
        raise ValueError(
            f"{path} cannot be read safely ({reason}). Run `python dev.py convert` on it and choose the "
            ".safetensors file that it writes."
        ) from refused
    return from_state_dict(state_dict, embedding_folder)


def from_state_dict(
    state_dict: dict, embedding_folder: str | None = None, *, text_options: dict | None = None
) -> Parts:
    """Build the four parts from a full state dict (left unchanged). text_options: the host's te_model_options.

    Raises ValueError when the keys are another model's or when a network would lack weights.
    """
    state_dict = dict(keys.unwrap(state_dict))
    keys.check(state_dict)
    others = keys.unknown(state_dict)
    if others:
        LOG.info(
            "Load HieraFashDiff checkpoint: %d keys are not used, for example %s", len(others), ", ".join(others[:3])
        )
    unet, control, autoencoder, text = (keys.part(state_dict, prefix) for prefix in keys.PARTS.values())
    # The host empties the dictionaries that it is given.
    model, clip, vae, _ = comfy.sd.load_state_dict_guess_config(
        {**unet, **autoencoder, **text}, embedding_directory=embedding_folder, te_model_options=text_options or {}
    )
    predict_noise(model)
    control_net = comfy.controlnet.load_controlnet_state_dict(dict(control))
    text_offered = model.model.model_config.process_clip_state_dict(dict(text))
    _complete("UNet", model.model.diffusion_model, unet, keys.UNET)
    _complete("ControlNet", control_net.control_model, control, keys.CONTROLNET)
    _complete("autoencoder", vae.first_stage_model, autoencoder, keys.AUTOENCODER)
    _complete("text encoder", clip.cond_stage_model, text_offered, "")
    return Parts(model, clip, vae, control_net)


def predict_noise(model: Model) -> None:
    """Make a freshly loaded model an eps model.

    The host guesses from the spread of one normalisation bias and takes fine-tuned SD2 files for v-prediction; this
    system predicts eps. Only for a model that nobody else holds yet.
    """
    base = model.model
    base.model_type = comfy.model_base.ModelType.EPS
    base.model_sampling = comfy.model_base.model_sampling(base.model_config, comfy.model_base.ModelType.EPS)


def _complete(name: str, module, offered: dict, prefix: str) -> None:
    given = {key.removeprefix(prefix) for key in offered}
    missing = sorted(key for key in module.state_dict() if key not in given and not key.endswith(_NOT_IN_FILES))
    if missing:
        raise ValueError(
            f"The checkpoint's {name} lacks {len(missing)} tensors, for example {', '.join(missing[:3])}; the "
            "file is damaged or cut."
        )
