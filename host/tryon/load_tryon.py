"""Find, recognise and load a try-on model: a diffusers-layout folder or one safetensors file, as host MODEL and VAE."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...models import configuration
from ...models.fastfit import keys
from ...models.fastfit.noise_schedule import NoiseSchedule
from ...models.studio import WEIGHTS as STUDIO_FOLDER
from ...models.studio import card
from .. import folders, model_file, self_check
from . import channel_guidance, garment_conditioning
from .fastfit_model import FastFitConfig

if TYPE_CHECKING:
    from ..host_types import Model, Vae

LOG = logging.getLogger(__name__)

KIND = "tryon"
STUDIO = "studio"
STUDIO_FILE, STUDIO_VAE = STUDIO_FOLDER / "tryon.safetensors", "autoencoder.safetensors"
WEIGHTS = "diffusion_pytorch_model.safetensors"
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


def load(path: str, vae: Vae | None = None, dtype: torch.dtype | None = None) -> tuple[Model, Vae]:
    """Load a try-on model. Returns (ModelPatcher, comfy.sd.VAE).

    path: a folder with unet/ (and vae/, scheduler/), or a .safetensors file. vae: taken where the file brings none.
    dtype: storage of the weights instead of the host's choice (fp8 for example). Raises ValueError with one sentence.
    """
    self_check.raise_if_moved()
    parts = _read_folder(Path(path)) if os.path.isdir(path) else _read_file(Path(path))
    card.checked(card.TryonCard, parts.config, parts.name)
    architecture = keys.with_heads(_recognise(parts.unet, path), parts.config)
    schedule = NoiseSchedule.from_config(parts.config)
    channels = architecture.latent_channels
    config = FastFitConfig(architecture, schedule, model_file.latent_format(channels, parts.config))
    advice = "connect one to the loader's vae input (FastFit uses Stable Diffusion 1.5's)."
    vae = model_file.vae_of(parts.vae, vae, parts.name, channels, "try-on model", advice)
    shares = channel_guidance.read(parts.config, channels, parts.name)
    patcher = model_file.patcher_of(config, parts.unet, dtype)
    garment_conditioning.prepare(patcher)
    if shares is not None:
        channel_guidance.attach(patcher, shares)
    LOG.info(
        "Load Try-On Model: %s, %d latent channels, %d K,V layers, predicts %s, weights %s, VAE %s",
        parts.name, channels, patcher.model.diffusion_model.layers, schedule.prediction, patcher.model.get_dtype(),
        "of the file" if parts.vae else "as connected",
    )  # fmt: skip
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
    state_dict, metadata = model_file.read(path)
    prefix = keys.find_prefix(state_dict)
    if prefix is None:
        _recognise(state_dict, str(path))
    config = card.card_of(metadata, path.name)
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
        vae, _ = model_file.read(beside)
    return _Parts({key[len(prefix) :]: value for key, value in rest.items()}, vae, config, path.name)


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if (folder / WEIGHTS).is_file() or len(files) == 1:  # alone under another name, as .fp16. variants are
        return model_file.read(folder / WEIGHTS if (folder / WEIGHTS).is_file() else files[0])[0]
    pickled = sorted(p.name for p in folder.glob("*.bin")) if folder.is_dir() else []
    if pickled:
        raise ValueError(
            f"{folder.parent.name}/{folder.name} has only {pickled[0]}, which can run code when loaded; turn it "
            f"into {WEIGHTS} with `python dev.py convert`."
        )
    raise ValueError(
        f"{folder.parent.name} lacks {folder.name}/{WEIGHTS}; a FastFit folder holds unet, vae and scheduler."
    )


def _json(path: Path) -> dict:
    return configuration.read(path) if path.exists() else {}


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
