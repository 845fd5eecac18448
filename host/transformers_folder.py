"""A folder in transformers' layout, checked before the library reads it.

What lies in a folder is data. Its configuration may use the keys of the library's own classes and no others, may not
name code, a repository or another folder, and may not ask for more network than its weights hold. Then `LOCAL` is what
every call of the library is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..models import configuration
from . import transformers_keys as keys
from .folder_weights import elements_in

LOCAL = {"local_files_only": True, "trust_remote_code": False}

_LARGEST_SIDE = 4096
_MOST_BYTES = {"tokenizer.json": 64 << 20, "model.safetensors.index.json": 16 << 20}


# Parts of captioners and encoders that may stand below the top; no kind of them asks for another repository.
PARTS = {
    "bart", "blip_2_qformer", "blip_2_vision_model", "clip_vision_model", "florence_vision", "gemma", "gemma2",
    "idefics3_vision", "llama", "mistral", "opt", "phi3", "qwen2", "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_vl",
    "qwen2_vl_text", "qwen3", "qwen3_vl", "qwen3_vl_text", "siglip_vision_model", "smolvlm_vision", "t5",
}  # fmt: skip


def read_config(folder: str | Path, kinds: Mapping[str, Mapping[str, str]]) -> tuple[type, dict[str, Any]]:
    """(the library's configuration class, the checked content of config.json).

    kinds: model_type -> what the library takes for parts whose kind is not written down. The content holds no names of
    repositories any more. Raises ValueError with one sentence.
    """
    from transformers import CONFIG_MAPPING

    folder = Path(folder)
    config = configuration.read(folder / "config.json")
    name = f"{folder.name}/config.json"
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in kinds:
        known = ", ".join(sorted(kinds))
        raise ValueError(f"{name} has model_type {str(kind)[:60]!r}, known here are {known}; choose one of these.")
    _refuse_code(config, name)
    configuration.scan(config, name)
    cls = CONFIG_MAPPING[kind]
    checked = _checked(config, cls, name, "", kinds[kind])
    check_side_files(folder)
    return cls, checked


def _checked(config: dict, cls: type, name: str, at: str, usual: Mapping[str, str]) -> dict[str, Any]:
    parts = cls.sub_configs
    known = _parameters(cls) | keys.CONFIG | set(parts)
    if "text_config" in parts and parts["text_config"].__name__ != "AutoConfig":
        known |= _parameters(parts["text_config"])  # older files have the text's entries at the top
    strange = sorted(key for key in config if key not in known)
    if strange:
        listed = ", ".join(at + key[:60] for key in strange[:3])
        raise ValueError(
            f"{name} has the key{'s' * (len(strange) > 1)} {listed}, which {cls.__name__} does not know; remove it if "
            "the model works without, or choose another model."
        )
    checked = {key: value for key, value in config.items() if key not in keys.NAMES}
    for key, value in checked.items():
        if key in parts and value is not None:
            checked[key] = _part(value, parts[key], name, f"{at}{key}", usual)
        elif key not in keys.OBJECTS and isinstance(value, dict) and any(isinstance(v, dict) for v in value.values()):
            raise ValueError(f"{name}: {at}{key} holds an object of objects, expected a value; {configuration.ADVICE}.")
    return checked


def _part(value: object, cls: type, name: str, at: str, usual: Mapping[str, str]) -> dict[str, Any]:
    from transformers import CONFIG_MAPPING

    if not isinstance(value, dict):
        raise ValueError(f"{name}: {at} is {str(value)[:40]!r}, expected an object; {configuration.ADVICE}.")
    kind = value.get("model_type", usual.get(at) if cls.__name__ == "AutoConfig" else cls.model_type)
    if not isinstance(kind, str) or kind not in PARTS:
        known = ", ".join(sorted(PARTS))
        raise ValueError(f"{name}: {at} is of model_type {str(kind)[:60]!r}, known here are {known}.")
    return _checked(value, CONFIG_MAPPING[kind] if cls.__name__ == "AutoConfig" else cls, name, at + ".", {})


def _parameters(cls: type) -> set[str]:
    """What a configuration class takes, its bases' arguments included, and what it writes."""
    names = {
        name for base in cls.__mro__ if "__init__" in vars(base) for name in inspect.signature(base.__init__).parameters
    }
    return (names | set(cls().to_dict())) - {"self", "kwargs", "args"}


def _refuse_code(config: Mapping[str, Any], name: str) -> None:
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, dict):
            named = sorted(keys.CODE & value.keys())
            if named:
                raise ValueError(
                    f"{name} has {at}{named[0]}, which leads to code or to another repository, and Atelier follows "
                    "neither: choose a folder in the library's own format, without .py files of its own."
                )
            waiting += [(f"{at}{key}.", inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(at, inner) for inner in value if isinstance(inner, (dict, list))]


def check_side_files(folder: Path) -> None:
    """The processor's, tokenizer's and generation's files of a folder, and the table of its shards. Raises ValueError
    with one sentence."""
    folder = Path(folder)
    if (folder / "adapter_config.json").exists():
        raise ValueError(f"{folder.name} holds an adapter, which names another model; take a whole model's folder.")
    for file in keys.SIDE_FILES:
        if (folder / file).exists():
            _check_side_file(folder, file)
    for file, most in _MOST_BYTES.items():
        if (folder / file).exists():
            content = configuration.read(folder / file, most)
            if file.endswith("index.json"):
                _check_shards(content, folder)


def _check_side_file(folder: Path, file: str) -> None:
    name, config = f"{folder.name}/{file}", configuration.read(folder / file, 16 << 20)
    _refuse_code(config, name)
    for key, endings in keys.CLASSES.items():
        value = config.get(key)
        if value is not None and not (isinstance(value, str) and value.isidentifier() and value.endswith(endings)):
            raise ValueError(f"{name}: {key} is {str(value)[:60]!r}, expected a name that ends in {endings[0]}.")
    known = keys.SIDE_FILES[file]
    if known is None:
        _check_tokens(config, name)
        return
    strange = sorted(config.keys() - known)
    if strange:
        raise ValueError(
            f"{name} has the key {strange[0][:60]}, which is not known there; remove it if the model works without, or "
            "choose another model."
        )
    configuration.scan({key: value for key, value in config.items() if key != "chat_template"}, name)
    _check_sides(config, name)


def _check_tokens(config: dict[str, Any], name: str) -> None:
    for key, value in config.items():
        if key.endswith("_file") and value is not None:
            raise ValueError(f"{name} names a file by {key}; the files beside it are read, remove the entry.")


def _check_sides(config: dict[str, Any], name: str) -> None:
    """Picture sizes; Qwen's longest_edge and shortest_edge count pixels."""
    pixels = str(config.get("image_processor_type", "")).startswith("Qwen") or "merge_size" in config
    for key in ("size", "crop_size", "pad_size", "max_image_size"):
        sizes = config.get(key)
        for side, value in sizes.items() if isinstance(sizes, dict) else [("", sizes)]:
            most = 1 << 26 if pixels and side.endswith("_edge") else _LARGEST_SIDE
            if value is not None and (type(value) not in (int, float) or not 0 < value <= most):
                raise ValueError(f"{name}: {key} {side} is {str(value)[:40]!r}, expected 1 to {most} pixels.")


def _check_shards(index: dict[str, Any], folder: Path) -> None:
    shards = index.get("weight_map")
    names = (
        set(shards.values()) if isinstance(shards, dict) and all(isinstance(v, str) for v in shards.values()) else {""}
    )
    for shard in names:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ValueError(
                f"{folder.name}/model.safetensors.index.json names {shard[:60]!r}, expected .safetensors beside it."
            )


def check_size(folder: str | Path, make: Callable[[], Any], what: str) -> None:
    """Refuse a configuration that asks for much more network than the folder's weights hold, before it is allocated.

    make: builds the network; it is called on the meta device, where nothing is allocated.
    """
    import torch

    with torch.device("meta"):
        asked = sum(parameter.numel() for parameter in make().parameters())
    held = elements_in(Path(folder))
    if asked > 2.5 * held + 1_000_000:  # tied tensors are written once
        raise ValueError(
            f"{Path(folder).name}/config.json asks for a {what} of {asked:,} parameters, its .safetensors hold"
            f" {held:,}; {configuration.ADVICE}."
        )
