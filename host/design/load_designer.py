"""Find, recognise and load a designer: text-conditioned UNet, text encoder, VAE and pose ControlNet, as the host's own.

A designer is a folder of .safetensors files or one file. Parts are told by the names of their tensors:
`model.diffusion_model.`, `text_model.`, `control_model.` (the names of a Stable Diffusion checkpoint) and an
autoencoder. What tensors do not tell (heads, prediction, betas) stands in each file's metadata, entry "atelier".
"""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import comfy.cldm.cldm
import comfy.clip_model
import comfy.controlnet
import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ...models.fastfit.noise_schedule import NoiseSchedule
from ...models.studio import WEIGHTS as STUDIO_FOLDER
from ...models.studio import card
from ...models.studio.designer import text_encoder
from ...models.studio.designer.clean_latent import PREDICTION, clean_latent
from .. import folders, model_file, self_check

if TYPE_CHECKING:
    from ..host_types import BaseModel

LOG = logging.getLogger(__name__)

KIND = "designer"
STUDIO = "studio"
STUDIO_FILES = ("designer", "text_encoder", "pose_controlnet", "autoencoder")
DEEPEST = 3  # folders below the registered one that are looked into
UNET, TEXT, CONTROL = "model.diffusion_model.", "text_model.", "control_model."
VAES = ("first_stage_model.", "taesd_", "vae_", "encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
TEXT_PREFIXES = ("cond_stage_model.clip_l.transformer.", "cond_stage_model.transformer.", "clip_l.transformer.")
SPOKEN = {UNET: "designer's UNet", TEXT: "text encoder", CONTROL: "pose ControlNet", "vae": "VAE"}
TEXT_DEFAULTS = {"hidden_act": "quick_gelu", "eos_token_id": 49407, "max_position_embeddings": 77}
VOCABULARY = 49408  # the host's tokenizer and embedding table


class Designer(NamedTuple):
    """control_net is None where the files hold none."""

    model: object
    clip: object
    vae: object
    control_net: object | None


def designer_files() -> list[str]:
    """What Load Designer offers: folders, single files, and the pack's own "studio"."""
    return [STUDIO, *sorted(_found())]


def resolve(name: str) -> list[Path]:
    """The files behind an offered name. Raises ValueError for anything else, so that no name leads out of the
    folders.
    """
    if name == STUDIO:
        if not (STUDIO_FOLDER / "designer.safetensors").is_file():
            raise ValueError("designer.safetensors is missing from the pack's models/studio/weights; install it anew.")
        return [path for part in STUDIO_FILES if (path := STUDIO_FOLDER / f"{part}.safetensors").is_file()]
    found = _found()
    if name not in found:
        raise ValueError(
            f"There is no designer {name!r}; put a folder with its .safetensors files, or one such file, into "
            f"{folders.pretty(KIND)} and refresh."
        )
    return found[name]


def _found() -> dict[str, list[Path]]:
    """A folder below a registered one is one designer; files that lie in a registered folder itself are one each."""
    found: dict[str, list[Path]] = {}
    for root in folders.paths(KIND):
        for folder, below, names in os.walk(root):
            depth = len(Path(folder).relative_to(root).parts)
            below[:] = sorted(below) if depth < DEEPEST else []
            files = [Path(folder) / name for name in sorted(names) if name.endswith(".safetensors")]
            for paths in [files] if depth else [[path] for path in files]:
                if paths:
                    which = Path(folder) if depth else paths[0]
                    found.setdefault(which.relative_to(root).as_posix(), paths)
    return found


def load(paths: list[Path], embedding_folders: list[str] | None = None, dtype: torch.dtype | None = None) -> Designer:
    """Load a designer from its files. Raises ValueError with one sentence for files that are no designer.

    dtype: storage of the UNet's weights instead of the host's choice. A designer that brings no VAE works on
    the studio's latents and gets the studio's VAE.
    """
    self_check.raise_if_moved()
    name = paths[0].name if len(paths) == 1 else paths[0].parent.name
    parts = _read(paths)
    for needed in (UNET, TEXT):
        if needed not in parts:
            held = ", ".join(SPOKEN[part] for part in parts) or "nothing that is known here"
            raise ValueError(
                f"{name} holds no {SPOKEN[needed]} ({needed}…; found: {held}); a designer needs a UNet and its text "
                "encoder, in one folder or one file."
            )
    unet, settings = parts[UNET]
    if not isinstance(settings.get("unet_config"), dict):
        raise ValueError(
            f'{name}\'s metadata lacks unet_config in its entry "atelier"; choose a designer that '
            "`python dev.py train designer` has written."
        )
    channels = settings["unet_config"].get("in_channels")
    config = DesignerConfig(settings)
    _check(unet, UNetModel, config.unet_config, UNET)
    parts[TEXT] = (_whole_vocabulary(*parts[TEXT], name), parts[TEXT][1])
    text_config = _text_config(*parts[TEXT], settings["unet_config"].get("context_dim"), name)
    control_config = _control_config(*parts[CONTROL]) if CONTROL in parts else None
    vae = _vae(parts, name, channels)
    colours = {} if settings.get("latent_rgb_factors") or channels == 4 else model_file.preview_colours(vae, channels)
    config.latent_format = model_file.latent_format(channels, {**colours, **settings})
    model = model_file.patcher_of(config, unet, dtype)
    clip = _clip(parts[TEXT][0], text_config, embedding_folders)
    held = ", ".join(SPOKEN[part] for part in parts)
    LOG.info(
        "Load Designer: %s holds %s; %s latent channels, weights %s", name, held, channels, model.model.get_dtype()
    )
    return Designer(model, clip, vae, control_config and _control_net(parts[CONTROL][0], control_config))


class _CleanSampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
    """Of a network that guesses the clean latent and how far it may be off, from the timestep `lowest` on.

    The host's schedulers take sigma_min for their last step, whose guess is the result.
    """

    lowest = 0

    @property
    def sigma_min(self):
        return self.sigmas[self.lowest]

    def timestep(self, sigma):
        return super().timestep(sigma).clamp(min=self.lowest)

    def calculate_denoised(self, sigma, model_output, model_input):
        return clean_latent(model_output, model_input, comfy.model_sampling.reshape_sigma(sigma, model_output.ndim))


class DesignerConfig(comfy.supported_models_base.BASE):
    """What the host wants to know of the designer's UNet; `unet_config` is also what LoRA and FreeU read."""

    unet_extra_config: ClassVar = {}
    memory_usage_factor = 1.0

    def __init__(self, settings: dict):
        self.tells_clean, self.lowest = settings.get("prediction") == PREDICTION, int(settings.get("lowest", 0))
        self.noise_scale = float(settings.get("noise_scale", 1.0))
        self.schedule = NoiseSchedule.from_config({**settings, "prediction": "v"} if self.tells_clean else settings)
        if not 0 <= self.lowest < self.schedule.num_train_timesteps:
            raise ValueError(
                f"The designer's metadata names {self.lowest} as its lowest timestep; 0 to 999 is expected."
            )
        if not 0 < self.noise_scale < math.inf:
            raise ValueError(
                f"The designer's metadata names {self.noise_scale} as noise_scale; a positive number is expected."
            )
        self.sampling_settings = {
            "linear_start": self.schedule.beta_start, "linear_end": self.schedule.beta_end,
            "timesteps": self.schedule.num_train_timesteps, "zsnr": self.schedule.zsnr,
        }  # fmt: skip
        super().__init__({"image_size": 32, "legacy": False, "adm_in_channels": None, **settings["unet_config"]})

    def inpaint_model(self) -> bool:
        return False  # the host takes more than 4 input channels for an inpainting checkpoint

    def model_type(self, state_dict: dict[str, torch.Tensor], prefix: str = "") -> comfy.model_base.ModelType:
        return (
            comfy.model_base.ModelType.V_PREDICTION
            if self.schedule.prediction == "v"
            else comfy.model_base.ModelType.EPS
        )

    def get_model(
        self, state_dict: dict[str, torch.Tensor], prefix: str = "", device: torch.device | None = None
    ) -> BaseModel:
        model = super().get_model(state_dict, prefix, device)
        if self.tells_clean:
            model.model_sampling = _CleanSampling(self)
            model.model_sampling.lowest = self.lowest
        model.model_sampling.noise_scale = self.noise_scale
        model.model_sampling.set_sigmas(self.noise_scale * self.schedule.sigmas())
        return model


def _read(paths: list[Path]) -> dict[str, tuple[dict[str, torch.Tensor], dict]]:
    """part -> (tensors without the part's prefix, the file's "atelier" metadata)."""
    parts: dict[str, tuple[dict, dict]] = {}
    for path in paths:
        if path.suffix != ".safetensors":
            raise ValueError(f"{path.name} is not a .safetensors file; turn it into one with `python dev.py convert`.")
        tensors, metadata = model_file.read(path)
        for key, value in tensors.items():
            part, name = _part_of(key)
            if part is None:
                raise ValueError(
                    f"{path.name} holds {key}, which is no part of a designer; expected are {UNET}…, {TEXT}…, "
                    f"{CONTROL}… and a VAE."
                )
            held = parts.setdefault(part, ({}, _settings(metadata, path, part)))[0]
            if name in held:
                raise ValueError(f"{path.name} holds {key} a second time; leave one {SPOKEN[part]} in the folder.")
            held[name] = value
    return parts


def _part_of(key: str) -> tuple[str | None, str]:
    for prefix in TEXT_PREFIXES:
        key = key.removeprefix(prefix)
    for part in (UNET, CONTROL):
        if key.startswith(part):
            return part, key[len(part) :]
    if key.startswith((TEXT, "text_projection.")):
        return TEXT, key
    return ("vae", key.removeprefix("first_stage_model.")) if key.startswith(VAES) else (None, key)


def _settings(metadata: dict[str, str], path: Path, part: str) -> dict:
    """The checked card; in a file of several parts the text encoder's and the ControlNet's stand under names."""
    described = card.card_of(metadata, path.name)
    own = {TEXT: "text_encoder", CONTROL: "pose_controlnet"}.get(part)
    if own and isinstance(described.get(own), dict):
        described = described[own]
    if part in (UNET, TEXT, CONTROL):
        card.checked(card.DesignerCard if part == UNET else card.PartCard, described, path.name)
    return described


def _vae(parts: dict, name: str, channels: int):
    tensors, studio = parts.get("vae", ({}, {}))[0], STUDIO_FOLDER / "autoencoder.safetensors"
    if not tensors and studio.is_file():
        tensors = model_file.read(studio)[0]
    return model_file.vae_of(tensors, None, name, channels, "designer", "put its .safetensors file beside the UNet's.")


def _built(make: Callable, arguments: dict, part: str):
    """A network on the meta device: nothing is allocated for metadata that asks for too much. Raises ValueError."""
    unknown = sorted(arguments.keys() - inspect.signature(make.__init__).parameters.keys())
    if unknown:
        raise ValueError(
            f"The {SPOKEN[part]}'s metadata names {', '.join(unknown)}, which the host's network does not take; choose "
            "a file made for this version."
        )
    try:
        return make(**arguments, device="meta", operations=comfy.ops.disable_weight_init)
    except (TypeError, ValueError, KeyError, IndexError, AssertionError, RuntimeError) as problem:
        reason = str(problem) or type(problem).__name__
        raise ValueError(
            f"The {SPOKEN[part]}'s metadata does not describe a network of the host's ({reason}); choose an undamaged "
            "file."
        ) from problem


def _check(tensors: dict, make: Callable, arguments: dict, part: str, optional: tuple[str, ...] = ()) -> None:
    """Raise ValueError naming the first three tensors that are missing, left over or of another shape."""
    arguments = {key: value for key, value in arguments.items() if key not in ("dtype", "device", "operations")}
    expected = {key: tuple(value.shape) for key, value in _built(make, arguments, part).state_dict().items()}
    missing = sorted(expected.keys() - tensors.keys() - set(optional))
    left_over = sorted(tensors.keys() - expected.keys())
    wrong = [
        f"{key} {tuple(tensors[key].shape)} instead of {shape}"
        for key, shape in expected.items()
        if key in tensors and tuple(tensors[key].shape) != shape
    ]
    problems = [
        f"{what} {len(names)} tensors ({', '.join(names[:3])})"
        for what, names in (("lacks", missing), ("has left over", left_over), ("has of another shape", wrong))
        if names
    ]
    if problems:
        raise ValueError(f"The {SPOKEN[part]} {' and '.join(problems)}; choose undamaged files that belong together.")


class _TextModel(comfy.clip_model.CLIPTextModel):
    """The host's text model, taking what `_built` gives by name."""

    def __init__(self, config_dict, dtype=None, device=None, operations=None):
        super().__init__(config_dict, dtype, device, operations)


def _whole_vocabulary(tensors: dict, settings: dict, name: str) -> dict:
    """A text encoder that was trained for some words brings those rows alone; the first row stands for every other
    word.

    settings["words"]: CLIP's numbers of the rows behind the first one.
    """
    table, words = "text_model.embeddings.token_embedding.weight", settings.get("words")
    if words is None or table not in tensors:
        return tensors
    fits = isinstance(words, list) and all(type(word) is int and 0 <= word < VOCABULARY for word in words)
    if not fits or len(tensors[table]) != 1 + len(words):
        raise ValueError(
            f"{name}'s text encoder brings {len(tensors[table])} rows of words and its metadata does not name one word"
            " less; choose an undamaged file."
        )
    return {**tensors, table: text_encoder.whole_table(tensors[table], words)}


def _text_config(tensors: dict, settings: dict, read_by_unet: int, name: str) -> dict:
    """The arguments of the host's text model, once they fit the tensors and the UNet."""
    if "config" not in settings:
        raise ValueError("The text encoder's metadata lacks config (as transformers' CLIPTextConfig); choose another.")
    config = {**TEXT_DEFAULTS, **settings["config"]}
    if config.get("vocab_size", VOCABULARY) != VOCABULARY:
        raise ValueError(f"The text encoder knows {config['vocab_size']} words, the host's tokenizer has {VOCABULARY}.")
    _check(tensors, _TextModel, {"config_dict": config}, TEXT, optional=("text_projection.weight",))
    if config["hidden_size"] != read_by_unet:
        raise ValueError(
            f"{name}'s text encoder has width {config['hidden_size']}, its UNet reads text of width {read_by_unet}; "
            "they do not belong together."
        )
    return config


def _clip(tensors: dict, config: dict, embedding_folders: list[str] | None):
    """The host's CLIP over its Stable Diffusion 1.5 tokenizer, with the text model that the config describes."""
    width, host = config["hidden_size"], comfy.sd1_clip
    target = SimpleNamespace(
        params={"clip_model": partial(host.SDClipModel, textmodel_json_config=config, return_projected_pooled=False)},
        clip=host.SD1ClipModel,
        tokenizer=partial(host.SD1Tokenizer, tokenizer=partial(host.SDTokenizer, embedding_size=width)),
    )
    size = sum(value.numel() for value in tensors.values())
    clip = comfy.sd.CLIP(target, embedding_directory=embedding_folders, parameters=size)
    clip.load_sd({"text_projection.weight": torch.eye(width), **tensors})  # the host leaves an absent one uninitialised
    return clip


def _control_config(tensors: dict, settings: dict) -> dict:
    """The arguments of the host's cldm network, once they fit the tensors."""
    if "config" not in settings:
        raise ValueError("The pose ControlNet's metadata lacks config (arguments of the host's ControlNet).")
    config = {"image_size": 32, "legacy": False, **settings["config"]}
    _check(tensors, comfy.cldm.cldm.ControlNet, config, CONTROL)
    return config


def _control_net(tensors: dict, config: dict):
    """The host's ControlNet object over its cldm network, in the dtype that the host chooses for it."""
    mm = comfy.model_management
    device = mm.get_torch_device()
    dtype = mm.unet_dtype(model_params=-1, weight_dtype=comfy.utils.weight_dtype(tensors))
    cast = mm.unet_manual_cast(dtype, device)
    network = comfy.cldm.cldm.ControlNet(
        **config, dtype=dtype, device=mm.unet_offload_device(), operations=comfy.ops.pick_operations(dtype, cast)
    )
    network.load_state_dict(tensors)
    return comfy.controlnet.ControlNet(network.eval(), load_device=device, manual_cast_dtype=cast)
