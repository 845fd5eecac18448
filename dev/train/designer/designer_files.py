"""The designer's three files, and what a try-on network's file gives it to begin with."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ....models.studio.designer.clean_latent import PREDICTION
from ....models.studio.designer.network import Config, DesignerUNet
from ....models.studio.designer.text_encoder import TextConfig
from ..half import SIGNIFICANT, half
from ..latents import PATCH
from .designer_data import LOWEST, NOISE_SCALE

# file -> (prefix of its tensors in training, prefix in the file)
PREFIXES = {
    "designer": ("unet.", "model.diffusion_model."),
    "text_encoder": ("text.", ""),
    "pose_controlnet": ("control.", "control_model."),
}
GENERATED = {"beta_schedule": "linear", "linear_start": 0.00085, "linear_end": 0.012}


def start_from_tryon(unet: DesignerUNet, tryon: dict[str, Tensor]) -> int:
    """Copy the tensors of a studio try-on network that have a place and the same shape here. Returns how many."""
    own, copied = unet.state_dict(), 0
    for name, tensor in tryon.items():
        target = host_name(name)
        if name == "conv_in.weight":
            tensor = tensor[:, : unet.config.latent_channels]
        if target in own and own[target].shape == tensor.shape:
            own[target].copy_(tensor)
            copied += 1
    return copied


def host_name(name: str) -> str | None:
    """The UNetModel name of a diffusers name, for networks of three levels with one resnet a level; None: no place."""
    inside = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    ends = {
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
    }  # fmt: skip
    stem, _, kind = name.rpartition(".")
    if stem in ends:
        return f"{ends[stem]}.{kind}"
    parts = name.split(".")
    if parts[0] == "mid_block" and parts[1] == "resnets":
        return f"middle_block.{2 * int(parts[2])}.{inside[parts[3]]}.{kind}"
    if parts[0] == "mid_block" and parts[1] == "attentions":
        return ".".join(["middle_block.1", *parts[3:]])
    if parts[0] == "down_blocks":
        level = int(parts[1])
        if parts[2] == "downsamplers":
            return f"input_blocks.{2 * level + 2}.0.op.{kind}"
        block = f"input_blocks.{2 * level + 1}"
    elif parts[0] == "up_blocks":
        level = int(parts[1])
        if parts[2] == "upsamplers":
            return None  # its place depends on the transformers beside it
        block = f"output_blocks.{2 * level + int(parts[3])}"
    else:
        return None
    if parts[2] == "resnets":
        return f"{block}.0.{inside[parts[4]]}.{kind}"
    return ".".join([f"{block}.1", *parts[4:]])


def export(
    state: dict[str, Tensor],
    numbers: list[int],
    config: Config,
    text: TextConfig,
    folder: Path,
    note: str,
    bits: int = SIGNIFICANT,
) -> list[Path]:
    """Write designer, text encoder and pose ControlNet as fp16 files for Load Designer; metadata says what tensors do
    not. Returns the files that were written: one that holds the same tensors already stays as it is.

    Of CLIP's table only the taught words are written (the loader fills it up): numbers are theirs. bits: significant
    ones of the designer's matrices.
    """
    from safetensors.torch import save_file

    common = {"latent_channels": config.latent_channels, "latent_scale": 1.0, "down": PATCH, "note": note}
    described = {
        "designer": {"format": "designer", "prediction": PREDICTION, "lowest": LOWEST,
        "noise_scale": NOISE_SCALE, "zsnr": True, **GENERATED,
        "unet_config": config.host_unet(),
                     "network": asdict(config), "trained": {"size": [192, 256], "steps": 8, "cfg": 2.0}, **common},
        "text_encoder": {"format": "text_encoder", "config": text.clip(), "words": numbers, "note": note},
        "pose_controlnet": {"format": "pose_controlnet", "config": config.host_controlnet(), "hint": "pose", **common},
    }  # fmt: skip
    paths = []
    for name, (own, filed) in PREFIXES.items():
        tensors = {filed + key[len(own) :]: value for key, value in state.items() if key.startswith(own)}
        coarse = bits if name == "designer" else SIGNIFICANT
        rounded = {key: half(value, coarse if value.ndim > 1 else SIGNIFICANT) for key, value in tensors.items()}
        path = folder / f"{name}.safetensors"
        if not (path.exists() and _holds(path, rounded)):
            save_file(rounded, str(path), metadata={"atelier": json.dumps(described[name])})
            paths.append(path)
    return paths


def _holds(path: Path, tensors: dict[str, Tensor]) -> bool:
    from safetensors.torch import load_file

    held = load_file(str(path))
    return held.keys() == tensors.keys() and all(torch.equal(held[name], tensors[name]) for name in held)


def shipped(folder: Path) -> dict[str, Tensor]:
    """The tensors of the three files in a folder, fp32, under their names in training."""
    from safetensors.torch import load_file

    state = {}
    for name, (own, filed) in PREFIXES.items():
        tensors = load_file(str(folder / f"{name}.safetensors"))
        state |= {own + key[len(filed) :]: value.float() for key, value in tensors.items()}
    return state
