"""Human parsers of the SegFormer kind (transformers) from a local folder, with any label set."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import folder_paths
import numpy as np
import torch
from safetensors import SafetensorError

from ...craft.body.labels import match_names
from ...models import configuration
from .. import transformers_folder

LOG = logging.getLogger(__name__)

FOLDER = "human_parsers"
NONE = "none"


def parser_folders() -> list[str]:
    """Names of the folders below models/human_parsers that hold a config.json."""
    roots = [
        os.path.join(folder_paths.models_dir, FOLDER),
        *folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0],
    ]
    names = {path.parent.name for root in roots if os.path.isdir(root) for path in Path(root).glob("*/config.json")}
    return sorted(names)


def _folder(name: str) -> Path:
    roots = [
        os.path.join(folder_paths.models_dir, FOLDER),
        *folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0],
    ]
    for root in roots:
        path = Path(root) / name
        if (path / "config.json").is_file() and path.parent.resolve() == Path(root).resolve():
            return path
    raise ValueError(
        f"There is no parser {name!r}; put its folder (config.json, model.safetensors) into ComfyUI/models/{FOLDER}."
    )


def open_parser(name: str) -> tuple[Callable[[np.ndarray], np.ndarray], list[str]]:
    """A function from uint8 [H,W,3] to ATR labels uint8 [H,W], and the parser's labels that ATR has no place for.

    The network is loaded by the host's memory management. Raises ValueError when the folder is not a SegFormer parser
    with safetensors weights, or none of its label names is known.
    """
    import comfy.model_management as management
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    from ..managed_network import patcher_class

    path = _folder(name)
    if not list(path.glob("*.safetensors")):
        raise ValueError(
            f"The parser {name!r} has no .safetensors file; convert its weights (pickled files are not loaded)."
        )
    _, checked = transformers_folder.read_config(path, {"segformer": {}})
    size = _input_size(path)
    try:
        config = SegformerConfig.from_dict(checked)
        transformers_folder.check_size(path, lambda: SegformerForSemanticSegmentation(config), "parser")
        network, found = SegformerForSemanticSegmentation.from_pretrained(
            path, config=config, **transformers_folder.LOCAL, use_safetensors=True, output_loading_info=True
        )
    except _UNREADABLE as problem:
        raise ValueError(
            f"The parser {name!r} cannot be loaded ({(str(problem).splitlines() or [repr(problem)])[0][:200]}); take "
            "its folder from where it came again."
        ) from problem
    if found["missing_keys"]:
        raise ValueError(
            f"The parser {name!r} lacks {len(found['missing_keys'])} of the network's tensors, such as"
            f" {sorted(found['missing_keys'])[0]}; take its folder from where it came again."
        )
    network.eval()
    table, strangers = match_names({int(k): v for k, v in config.id2label.items()})
    if not table.any():
        raise ValueError(
            f"The parser {name!r} has labels {list(config.id2label.values())[:6]}...; none is known as a garment or"
            " body part."
        )
    LOG.info("Detect Body: parser %s, %d labels, unknown: %s", name, len(table), ", ".join(strangers) or "none")
    patcher = patcher_class()(
        _Network(network), load_device=management.get_torch_device(), offload_device=management.unet_offload_device()
    )

    @torch.no_grad()
    def parse(image: np.ndarray) -> np.ndarray:
        management.load_model_gpu(patcher)
        pixels = torch.from_numpy(image.copy()).to(patcher.load_device).float().movedim(-1, 0)[None] / 255
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in _NORMAL)
        pixels = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        logits = patcher.model((pixels - mean) / std).float()
        logits = torch.nn.functional.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)
        return table[logits.argmax(1)[0].cpu().numpy().astype(np.uint8)]

    return parse, strangers


class _Network(torch.nn.Module):
    """transformers' models have a read-only `device`; the host's memory management writes one."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network(pixels).logits


_NORMAL = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


_UNREADABLE = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, ArithmeticError,
    AssertionError, SafetensorError,
)  # fmt: skip


def _input_size(path: Path) -> tuple[int, int]:
    """(height, width) that the network reads, in pixels; 512 where the folder does not say."""
    file = path / "preprocessor_config.json"
    size = configuration.read(file).get("size", 512) if file.is_file() else 512
    if isinstance(size, dict):
        side = size.get("shortest_edge", 512)
        return int(size.get("height", side)), int(size.get("width", side))
    return int(size), int(size)
