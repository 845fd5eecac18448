"""open_clip models (Marqo-FashionSigLIP, FashionCLIP, ...) from a local folder; nothing is ever downloaded."""

from __future__ import annotations

import os
import re
from copy import deepcopy
from pathlib import Path

import torch

from ...craft.picture.picture_preparation import Preparation
from ...models import configuration
from .. import model_file
from ..folder_weights import shapes_in, weight_files
from ..managed_network import ManagedNetwork
from ..transformers_folder import LOCAL, check_side_files
from .fashion_encoder import FashionEncoder, tensors_hash
from .open_clip_tables import OpenClipTable

CONFIG_FILE, WEIGHTS_FILE = "open_clip_config.json", "open_clip_model.safetensors"


class OpenClipEncoder(FashionEncoder):
    """`folder`: open_clip_config.json, one .safetensors file, and the tokenizer's files where the text tower needs
    them.

    Picture preparation comes from the config's preprocess_cfg, never from the architecture's name.
    """

    speaks = True

    def __init__(self, folder: str):
        config = _read_config(folder)
        self.preparation = Preparation.from_open_clip(config)
        model, self._tokenizer = _load(folder, config)
        self.name = os.path.basename(os.path.normpath(folder))
        self.hash = tensors_hash(model.state_dict(), repr(self.preparation))
        self.logit_scale = float(model.logit_scale.detach().exp())
        self._network = ManagedNetwork(model)
        self.dim = int(config["model_cfg"]["embed_dim"])

    def _image_vectors(self, images: list[torch.Tensor]) -> torch.Tensor:
        model, device = self._network.ready()
        pixels = torch.stack([self.preparation.apply(image) for image in images])
        return model.encode_image(pixels.to(device, self._network.dtype))

    def _text_vectors(self, texts: list[str]) -> torch.Tensor:
        model, device = self._network.ready()
        return model.encode_text(self._tokenizer(texts).to(device))


def _read_config(folder: str) -> dict:
    """The checked content of open_clip_config.json, with the keys that stand there."""
    name = f"{os.path.basename(os.path.normpath(folder))}/{CONFIG_FILE}"
    config = configuration.read(Path(folder) / CONFIG_FILE)
    text = config["model_cfg"].get("text_cfg") if isinstance(config.get("model_cfg"), dict) else None
    if isinstance(text, dict) and text.get("hf_model_name"):
        raise ValueError(
            f"{folder}: this model's text tower is built from a download ({str(text['hf_model_name'])[:80]}), and"
            " Atelier never downloads: use a model with its own text tower."
        )
    if "model_cfg" not in config:
        raise ValueError(f"{folder}: {CONFIG_FILE} has no 'model_cfg': it is not an open_clip model.")
    return configuration.check(OpenClipTable, config, name).model_dump(exclude_unset=True)


def _weights(folder: str) -> Path:
    files = {path.name: path for path in weight_files(Path(folder))}
    if WEIGHTS_FILE not in files and len(files) != 1:
        raise ValueError(
            f"{folder} has {len(files)} .safetensors files, expected {WEIGHTS_FILE} (turn open_clip_pytorch_model.bin"
            " into it with `python dev.py convert`)."
        )
    return files.get(WEIGHTS_FILE) or next(iter(files.values()))


def _load(folder: str, config: dict):
    """(the library's model with the folder's weights, its tokenizer)."""
    weights = _weights(folder)
    try:
        import open_clip
    except ImportError as error:
        raise ValueError(
            f"Loading {folder} needs the package open_clip_torch ({error}): run `pip install open_clip_torch` in the "
            "host's Python."
        ) from error
    vision = config["model_cfg"]["vision_cfg"]
    if vision.get("timm_model_name"):
        _check_timm(vision["timm_model_name"], folder)
    tokenizer = _tokenizer(open_clip, folder, config["model_cfg"].get("text_cfg", {}))
    try:
        with torch.device("meta"):  # nothing is allocated for a configuration that asks for too much
            _check_shapes(_build(open_clip, config), shapes_in(weights), folder)
        model = _build(open_clip, config)
        model.load_state_dict(model_file.read(weights)[0], strict=False)
    except (TypeError, AttributeError, AssertionError, RuntimeError, KeyError, IndexError, ArithmeticError) as error:
        raise ValueError(
            f"{folder}: {CONFIG_FILE} does not describe a model of open_clip's"
            f" ({(str(error).splitlines() or [repr(error)])[0][:200]}); {configuration.ADVICE}."
        ) from error
    return model, tokenizer


def _build(open_clip, config: dict):
    """The library's class for a checked configuration, from that alone: no file of the folder is read."""
    settings = deepcopy(config["model_cfg"])
    custom = settings.pop("custom_text", False)
    if "multimodal_cfg" in settings:
        return open_clip.CoCa(**settings)
    if settings["vision_cfg"].get("timm_model_name"):
        settings["vision_cfg"]["timm_model_pretrained"] = False
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**settings)


def _check_timm(name: str, folder: str) -> None:
    """A name of timm's own list; its other forms name a repository or another folder."""
    import timm

    if not re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", name) or not timm.is_model(name):
        raise ValueError(
            f"{folder}: timm_model_name is {name[:80]!r}, expected the name of a network in the installed timm; names"
            " that lead to a repository or a folder are not followed."
        )


def _check_shapes(model: torch.nn.Module, held: dict[str, tuple[int, ...]], folder: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing, unexpected = sorted(expected.keys() - held.keys()), sorted(held.keys() - expected.keys())
    wrong = sorted(name for name in expected.keys() & held.keys() if expected[name] != held[name])
    if missing or unexpected or wrong:
        raise ValueError(
            f"{folder}: the weights do not fit {CONFIG_FILE} ({len(missing)} missing: {missing[:3]}, "
            f"{len(unexpected)} unexpected: {unexpected[:3]}, {len(wrong)} of another shape: {wrong[:3]})."
        )


def _tokenizer(open_clip, folder: str, text: dict):
    """CLIP's own tokenizer, or the folder's; a tokenizer's name is only a sign that the folder brings one."""
    length = text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
    if not text.get("hf_tokenizer_name"):
        return open_clip.SimpleTokenizer(context_length=length)
    check_side_files(Path(folder))
    try:
        config = configuration.read(Path(folder) / "tokenizer_config.json")
        if not config.get("tokenizer_class"):
            raise ValueError("tokenizer_config.json names no tokenizer_class")
        return open_clip.tokenizer.HFTokenizer(
            folder, context_length=length, tokenizer_mode=text.get("tokenizer_mode"), **LOCAL,
            **(text.get("tokenizer_kwargs") or {}),
        )  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        raise ValueError(
            f"{folder}: the tokenizer named in {CONFIG_FILE} is looked for inside the folder only, and there it cannot"
            f" be read ({(str(error).splitlines() or [repr(error)])[0][:200]}); put the tokenizer's files there."
        ) from error
