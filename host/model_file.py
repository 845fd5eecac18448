"""What the loaders of whole models share: reading a file safely, latent format, VAE, a patcher around a UNet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.latent_formats
import comfy.model_management
import comfy.sd
import comfy.utils
import torch
from safetensors import SafetensorError, safe_open

from .managed_network import patcher_class

if TYPE_CHECKING:
    from .host_types import Model, ModelConfig, Vae

PUBLISHED_SCALE = 0.18215


class StudioLatents(comfy.latent_formats.LatentFormat):
    """Latents of another width than Stable Diffusion's. The class name is what messages about latent families say."""


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(tensors, metadata) of a .safetensors file. Raises ValueError with one sentence for an unreadable one."""
    metadata = read_metadata(path)
    try:
        return comfy.utils.load_torch_file(str(path), safe_load=True), metadata
    except (OSError, ValueError, RuntimeError) as problem:
        raise ValueError(
            f"{path.name} cannot be read ({str(problem).splitlines()[0]}); copy the file again."
        ) from problem


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a .safetensors file, its tensors left alone. Raises ValueError with one sentence."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is no regular file; copy the weights again.")
    try:
        with safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}
    except OSError as problem:
        raise ValueError(f"{path.name} cannot be read ({problem}); copy the file again.") from problem
    except SafetensorError as problem:
        raise ValueError(
            f"{path.name} is damaged or no safetensors file ({problem}); copy the file again."
        ) from problem


def latent_format(channels: int, config: Mapping) -> comfy.latent_formats.LatentFormat:
    """config: `latent_scale`, and for live previews `latent_rgb_factors` and `latent_rgb_factors_bias`."""
    scale = float(config.get("latent_scale", PUBLISHED_SCALE if channels == 4 else 1.0))
    if channels == 4:
        return comfy.latent_formats.SD15(scale)
    made = StudioLatents()
    made.latent_channels, made.scale_factor = channels, scale
    made.latent_rgb_factors = config.get("latent_rgb_factors")  # what the host's live preview is made of
    made.latent_rgb_factors_bias = config.get("latent_rgb_factors_bias")
    return made


def preview_colours(vae: Vae, channels: int) -> dict[str, list]:
    """`latent_rgb_factors` and their bias for a VAE that turns 8x8 cells into latents linearly, as the studio's does.

    Every cell's mean colour (-1..1, as the host wants it) by least squares from the latent, on seeded noise of many
    spectra. Empty where the fit explains less than half of the colours: no preview is better than a wrong one.
    """
    generator = torch.Generator().manual_seed(0)
    flat, rough = (torch.rand(1, 16, 16, 3, generator=generator) for _ in range(2))
    pictures = [torch.nn.functional.interpolate(p.movedim(-1, 1), size=(64, 64), mode=m).movedim(1, -1)
                for p, m in ((flat, "nearest"), (rough, "bilinear"), (rough[:, ::4, ::4], "bicubic"))]  # fmt: skip
    picture = torch.cat(pictures).clamp(0, 1)
    latents = vae.encode(picture).float().movedim(1, -1).reshape(-1, channels)
    colours = torch.nn.functional.avg_pool2d(picture.movedim(-1, 1), 8).movedim(1, -1).reshape(-1, 3) * 2 - 1
    design = torch.cat([latents, torch.ones(len(latents), 1)], 1).double()
    ridge = 1e-4 * torch.eye(channels + 1, dtype=torch.float64) * len(design)
    solution = torch.linalg.solve(design.T @ design + ridge, design.T @ colours.double())
    left = (design @ solution - colours).square().mean() / colours.double().var(0).mean()
    if not left < 0.5:
        return {}
    factors = solution.float().tolist()
    return {"latent_rgb_factors": factors[:-1], "latent_rgb_factors_bias": factors[-1]}


def vae_of(
    tensors: Mapping[str, torch.Tensor], given: Vae | None, name: str, channels: int, kind: str, advice: str
) -> Vae:
    """The host's VAE from a file's tensors, or `given` where it brings none; checked to be whole and of that width.

    name: the file's, kind: the model's ("try-on model"), advice: what to do when there is no VAE at all.
    """
    if not tensors and given is None:
        raise ValueError(f"{name} brings no VAE; {advice}")
    vae = comfy.sd.VAE(sd=dict(tensors), config=_narrow_autoencoder(tensors)) if tensors else given
    if vae.first_stage_model is None:
        raise ValueError(f"The VAE in {name} is of no known kind ({', '.join(sorted(tensors)[:3])}).")
    missing = vae.first_stage_model.state_dict().keys() - _host_names(tensors) if tensors else ()
    if missing:
        raise ValueError(
            f"The VAE in {name} lacks {len(missing)} tensors ({', '.join(sorted(missing)[:3])}); copy it again."
        )
    if vae.latent_channels != channels:
        raise ValueError(
            f"The VAE has {vae.latent_channels} latent channels, the {kind} of {name} {channels}; "
            "they do not belong together."
        )
    return vae


def _host_names(vae: Mapping[str, torch.Tensor]) -> set[str]:
    """The names a VAE's tensors have once the host has converted them from diffusers' ones."""
    if "decoder.up_blocks.0.resnets.0.norm1.weight" in vae:
        import comfy.diffusers_convert

        return set(comfy.diffusers_convert.convert_vae_state_dict(dict(vae)))
    return set(vae)


def _narrow_autoencoder(vae: Mapping[str, torch.Tensor]) -> dict | None:
    """The host knows Stable Diffusion's VAE at its published width alone; for another width, what it has to be told."""
    first = next((vae[key] for key in ("encoder.conv_in.weight",) if key in vae), None)
    if first is None or first.shape[0] == 128:
        return None
    width, diffusers = first.shape[0], "encoder.down_blocks.0.resnets.0.norm1.weight" in vae
    name = "encoder.down_blocks.{}.resnets.{}.conv1.weight" if diffusers else "encoder.down.{}.block.{}.conv1.weight"
    levels = next(i for i in range(99) if name.format(i, 0) not in vae)
    blocks = next(i for i in range(99) if name.format(0, i) not in vae)
    channels = vae["post_quant_conv.weight"].shape[1]
    return {
        "params": {
            "embed_dim": channels,
            "ddconfig": {
                "double_z": True,
                "z_channels": vae["decoder.conv_in.weight"].shape[1],
                "resolution": 256,
                "in_channels": 3,
                "out_ch": 3,
                "ch": width,
                "ch_mult": [vae[name.format(i, 0)].shape[0] // width for i in range(levels)],
                "num_res_blocks": blocks,
                "attn_resolutions": [],
                "dropout": 0.0,
            },
        }
    }


def patcher_of(config: ModelConfig, unet: dict[str, torch.Tensor], dtype: torch.dtype | None) -> Model:
    """A ModelPatcher around the host model of a supported_models_base.BASE, in `dtype` or the host's choice."""
    mm = comfy.model_management
    device, offload = mm.get_torch_device(), mm.unet_offload_device()
    if dtype is None:
        dtype = mm.unet_dtype(
            model_params=comfy.utils.calculate_parameters(unet),
            supported_dtypes=config.supported_inference_dtypes,
            weight_dtype=comfy.utils.weight_dtype(unet),
        )
    config.set_inference_dtype(dtype, mm.unet_manual_cast(dtype, device, config.supported_inference_dtypes))
    model = config.get_model(unet, "", device=offload)
    model.load_model_weights(unet, "")
    return patcher_class()(model, load_device=device, offload_device=offload)
