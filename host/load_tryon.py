"""Find, recognise and load a try-on model: a diffusers-layout folder or one safetensors file, as host MODEL and VAE."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.utils
import torch
from safetensors import safe_open

from ..models.fastfit import keys
from ..models.fastfit.noise_schedule import NoiseSchedule
from . import folders, garment_conditioning, self_check
from .fastfit_model import FastFitConfig

KIND = "tryon"
STUDIO = "studio"
STUDIO_FOLDER = Path(__file__).resolve().parent.parent / "models" / "studio" / "weights"
STUDIO_FILE, STUDIO_VAE = STUDIO_FOLDER / "tryon.safetensors", "autoencoder.safetensors"
WEIGHTS = "diffusion_pytorch_model.safetensors"
PUBLISHED_SCALE = 0.18215
DEEPEST = 3  # folders below the registered one that are looked into


def tryon_files() -> list[str]:
    """What Load Try-On Model offers: folders in the diffusers layout, single files, and the pack's own "studio"."""
    return sorted(_found()) + ([STUDIO] if STUDIO_FILE.is_file() else [])


def resolve(name: str) -> str:
    """The path behind an offered name. Raises ValueError for anything else, so that no name leads out of the
    folders.
    """
    if name == STUDIO and STUDIO_FILE.is_file():
        return str(STUDIO_FILE)
    found = _found()
    if name not in found:
        raise ValueError(
            f"There is no try-on model {name!r}; put a FastFit folder or .safetensors file into "
            f"{folders.pretty(KIND)} and refresh."
        )
    return found[name]


def _found() -> dict[str, str]:
    found: dict[str, str] = {}
    for root in folders.paths(KIND):
        for folder, below, files in os.walk(root):
            depth = len(Path(folder).relative_to(root).parts)
            if folder != root and "unet" in below:
                names, below[:] = [""], []
            else:
                names = [file for file in files if file.endswith(".safetensors")]
                below[:] = sorted(below) if depth < DEEPEST else []
            for name in names:
                path = os.path.join(folder, name) if name else folder
                found.setdefault(Path(path).relative_to(root).as_posix(), path)
    return found


def load(path: str, vae=None, dtype: torch.dtype | None = None):
    """Load a try-on model. Returns (ModelPatcher, comfy.sd.VAE).

    path: a folder with unet/ (and vae/, scheduler/), or a .safetensors file. vae: taken where the file brings none.
    dtype: storage of the weights instead of the host's choice (fp8 for example). Raises ValueError with one sentence.
    """
    self_check.raise_if_moved()
    parts = _read_folder(Path(path)) if os.path.isdir(path) else _read_file(Path(path))
    architecture = keys.with_heads(_recognise(parts.unet, path), parts.config)
    schedule = NoiseSchedule.from_config(parts.config)
    config = FastFitConfig(architecture, schedule, _latent_format(architecture.latent_channels, parts.config))
    vae = _vae(parts, vae, path, architecture.latent_channels)
    patcher = _patcher(config, parts.unet, dtype)
    garment_conditioning.prepare(patcher)
    return patcher, vae


@dataclass
class _Parts:
    unet: dict[str, torch.Tensor]
    vae: dict[str, torch.Tensor]
    config: dict  # unet config, scheduler config and the pack's metadata in one, later ones winning
    name: str


def _read_folder(folder: Path) -> _Parts:
    unet = _weights(folder / "unet")
    config = {**_json(folder / "unet" / "config.json"), **_json(folder / "scheduler" / "scheduler_config.json")}
    vae = _weights(folder / "vae") if (folder / "vae").is_dir() else {}
    vae_config = _json(folder / "vae" / "config.json")
    if vae_config.get("shift_factor"):
        raise ValueError(f"The VAE of {folder.name} has a shift_factor; FastFit's has none.")
    if "scaling_factor" in vae_config:
        config["latent_scale"] = vae_config["scaling_factor"]
    return _Parts(unet, vae, config, folder.name)


def _read_file(path: Path) -> _Parts:
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name} is not a .safetensors file; turn it into one with `python dev.py convert`.")
    state_dict, metadata = _load(path)
    prefix = keys.find_prefix(state_dict)
    if prefix is None:
        _recognise(state_dict, str(path))
    config = json.loads(metadata.get("atelier", "{}"))
    config.update(
        {"prediction": "v"} if "v_pred" in state_dict else {}, **({"zsnr": True} if "ztsnr" in state_dict else {})
    )
    vae = {key[len(keys.VAE_PREFIX) :]: value for key, value in state_dict.items() if key.startswith(keys.VAE_PREFIX)}
    rest = {
        key: value for key, value in state_dict.items() if not key.startswith(keys.VAE_PREFIX) and key not in keys.FLAGS
    }
    foreign = sorted(key for key in rest if not key.startswith(prefix))
    if foreign:
        raise ValueError(
            f"{path.name} holds {len(foreign)} tensors beside the try-on UNet and its VAE "
            f"({', '.join(foreign[:3])}); a plain FastFit file is expected."
        )
    beside = path.parent / STUDIO_VAE
    if not vae and path == STUDIO_FILE and beside.is_file():
        vae, _ = _load(beside)
    return _Parts({key[len(prefix) :]: value for key, value in rest.items()}, vae, config, path.name)


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if (folder / WEIGHTS).is_file() or len(files) == 1:  # alone under another name, as .fp16. variants are
        return _load(folder / WEIGHTS if (folder / WEIGHTS).is_file() else files[0])[0]
    pickled = sorted(p.name for p in folder.glob("*.bin")) if folder.is_dir() else []
    if pickled:
        raise ValueError(
            f"{folder.parent.name}/{folder.name} has only {pickled[0]}, which can run code when loaded; turn it "
            f"into {WEIGHTS} with `python dev.py convert`."
        )
    raise ValueError(
        f"{folder.parent.name} lacks {folder.name}/{WEIGHTS}; a FastFit folder holds unet, vae and scheduler."
    )


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
        return comfy.utils.load_torch_file(str(path), safe_load=True), metadata
    except (OSError, ValueError, RuntimeError) as problem:
        raise ValueError(
            f"{path.name} cannot be read ({str(problem).splitlines()[0]}); copy the file again."
        ) from problem
    except Exception as problem:
        if type(problem).__name__ != "SafetensorError":
            raise
        raise ValueError(
            f"{path.name} is damaged or no safetensors file ({problem}); copy the file again."
        ) from problem


def _json(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ValueError(
            f"{path.parent.name}/{path.name} is not valid JSON ({problem}); copy the file again."
        ) from problem


def _recognise(unet: Mapping[str, torch.Tensor], path: str) -> keys.Architecture:
    shapes = {key: tuple(value.shape) for key, value in unet.items()}
    if keys.MARK not in shapes or "class_embedding.weight" not in shapes:
        found = ", ".join(sorted(shapes)[:3]) or "no tensor at all"
        raise ValueError(
            f"{Path(path).name} holds {keys.describe(shapes)} ({found}), no FastFit try-on model; choose one with "
            "class_embedding and condition_conv_in."
        )
    architecture = keys.read_architecture(shapes)
    keys.check(shapes, architecture)
    return architecture


def _latent_format(channels: int, config: Mapping) -> comfy.latent_formats.LatentFormat:
    scale = float(config.get("latent_scale", PUBLISHED_SCALE if channels == 4 else 1.0))
    if channels == 4:
        return comfy.latent_formats.SD15(scale)
    latent_format = comfy.latent_formats.LatentFormat()
    latent_format.latent_channels, latent_format.scale_factor = channels, scale
    latent_format.latent_rgb_factors = config.get("latent_rgb_factors")  # what the host's live preview is made of
    latent_format.latent_rgb_factors_bias = config.get("latent_rgb_factors_bias")
    return latent_format


def _vae(parts: _Parts, given, path: str, channels: int):
    if not parts.vae and given is None:
        raise ValueError(
            f"{parts.name} brings no VAE; connect one to the loader's vae input (FastFit uses Stable Diffusion 1.5's)."
        )
    vae = comfy.sd.VAE(sd=dict(parts.vae), config=_narrow_autoencoder(parts.vae)) if parts.vae else given
    if vae.first_stage_model is None:
        raise ValueError(f"The VAE in {parts.name} is of no known kind ({', '.join(sorted(parts.vae)[:3])}).")
    missing = vae.first_stage_model.state_dict().keys() - _host_names(parts.vae) if parts.vae else ()
    if missing:
        raise ValueError(
            f"The VAE in {parts.name} lacks {len(missing)} tensors ({', '.join(sorted(missing)[:3])}); copy it again."
        )
    if vae.latent_channels != channels:
        raise ValueError(
            f"The VAE has {vae.latent_channels} latent channels, the try-on model of {parts.name} {channels}; "
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


def _patcher(config: FastFitConfig, unet: dict[str, torch.Tensor], dtype: torch.dtype | None):
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
    # Looked up now: the host exchanges this class while it starts.
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return patcher(model, load_device=device, offload_device=offload)
