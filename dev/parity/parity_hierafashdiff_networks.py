"""The networks' part of `python dev.py parity hierafashdiff DIR`: one call of UNet and ControlNet, and the
checkpoint's keys.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from .report import Report

NETWORK = 1e-4


def apply_model(report: Report, path: Path) -> None:
    """The host's UNet and ControlNet with the checkpoint's own key names."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ldm.modules.diffusionmodules.openaimodel as unet_module
    import comfy.ops

    from ...host.prompt.pose_schedule import fading
    from ...models.hierafashdiff import keys

    recorded = json.loads(path.read_text(encoding="utf-8"))
    weights = {
        name: value.float() for name, value in load_file(path.with_name(f"{path.stem}_weights.safetensors")).items()
    }
    io = load_file(path.with_name(f"{path.stem}_io.safetensors"))
    settings = _host_settings(recorded["config"])
    unet = unet_module.UNetModel(
        **settings, out_channels=recorded["out_channels"], operations=comfy.ops.disable_weight_init
    )
    settings.pop("transformer_depth_output")
    control_model = comfy.cldm.cldm.ControlNet(
        **settings, hint_channels=recorded["hint_channels"], operations=comfy.ops.disable_weight_init
    )
    for network, prefix in ((unet, keys.UNET), (control_model, keys.CONTROLNET)):
        network.load_state_dict({k.removeprefix(prefix): v for k, v in keys.part(weights, prefix).items()})
    x, hint, text, t = io["x"], io["hint"], io["context"], io["t"]

    def outputs(hint):
        return control_model(x=x, hint=hint, timesteps=t.float(), context=text)

    raw = outputs(hint)
    for index, value in enumerate([*raw["output"], *raw["middle"]]):
        report.relative(f"{path.stem} control_{index}", value, io[f"control_{index}"], NETWORK)
    net = comfy.controlnet.ControlNet(control_model)

    def eps(name, control):
        report.relative(f"{path.stem} {name}", unet(x, t.float(), context=text, control=control), io[name], NETWORK)

    def merged(control_net, hint, strength=1.0):
        copy = control_net.copy().set_cond_hint(hint, strength)
        return copy.control_merge(outputs(hint), None, None)

    eps("eps_no_control", None)
    eps("eps_control", merged(net, hint))
    eps("eps_black_pose", merged(net, torch.zeros_like(hint)))
    eps("eps_strength_0p6", merged(net, hint, 0.6))
    eps("eps_guess", merged(fading(net), hint))
    eps("eps_only_mid", {**merged(net, hint), "output": []})


def _host_settings(config: dict) -> dict:
    """The original's UNet settings under the host's names (attention by depth for each block)."""
    levels, blocks = config["channel_mult"], config["num_res_blocks"]
    depth = [config["transformer_depth"] if 2**i in config["attention_resolutions"] else 0 for i in range(len(levels))]
    return {
        "image_size": config["image_size"], "in_channels": config["in_channels"],
        "model_channels": config["model_channels"],
        "num_res_blocks": [blocks] * len(levels), "channel_mult": levels,
        "num_head_channels": config["num_head_channels"],
        "use_spatial_transformer": config["use_spatial_transformer"], "context_dim": config["context_dim"],
        "use_linear_in_transformer": config["use_linear_in_transformer"], "legacy": config["legacy"],
        "transformer_depth": [d for d in depth for _ in range(blocks)],
        "transformer_depth_output": [d for d in depth for _ in range(blocks + 1)],
        "transformer_depth_middle": config["transformer_depth"], "dtype": torch.float32,
    }  # fmt: skip


def full_keys(report: Report, path: Path) -> None:
    """Names and shapes by our own rules, and by the loader: every tensor taken by the host's networks."""
    from ...models.hierafashdiff import layout

    recorded = {
        name: tuple(shape) for name, (shape, _) in json.loads(path.read_text(encoding="utf-8"))["tensors"].items()
    }
    report.count("hfd_full_keys layout", len(set(recorded.items()) ^ set(layout.published().items())))
    report.count("hfd_full_keys loaded", _not_loaded(recorded))


def _not_loaded(shapes: dict[str, tuple[int, ...]]) -> int:
    """Tensors that the loader leaves out. No memory: the host builds on the meta device and the file's tensors share a
    zero.
    """
    import warnings
    from unittest import mock

    import comfy.model_management as management

    from ...host.prompt import hierafashdiff_checkpoint as checkpoint
    from ...models.hierafashdiff import keys

    meta, zero = torch.device("meta"), torch.zeros(())
    state_dict = {name: zero.expand(shape) for name, shape in shapes.items()}
    devices = {name: (lambda *a, **k: meta) for name in ("unet_inital_load_device", "unet_offload_device")}
    with warnings.catch_warnings(), mock.patch.multiple(management, load_models_gpu=lambda *a, **k: None, **devices):
        warnings.simplefilter("ignore")  # one for each tensor that meets a network without memory
        parts = checkpoint.from_state_dict(state_dict, text_options={"initial_device": meta})
    taken = {keys.UNET + name for name in parts.model.model.diffusion_model.state_dict()}
    taken |= {keys.CONTROLNET + name for name in parts.control_net.control_model.state_dict()}
    taken |= {keys.AUTOENCODER + name for name in parts.vae.first_stage_model.state_dict()}
    # The loader itself refuses a text encoder that lacks a tensor; its names change on the way.
    return len([name for name in shapes if name not in taken | keys.SCHEDULE and not name.startswith(keys.TEXT)])
