"""open_clip models (Marqo-FashionSigLIP, FashionCLIP, ...) from a local folder; nothing is ever downloaded."""

from __future__ import annotations

import json
import os

import torch

from ..craft.picture_preparation import Preparation
from .fashion_encoder import FashionEncoder, ManagedNetwork, tensors_hash


class OpenClipEncoder(FashionEncoder):
    """`folder`: open_clip_config.json, one .safetensors file, and the tokenizer's files where the text tower needs
    them.

    Picture preparation comes from the config's preprocess_cfg, never from the architecture's name.
    """

    speaks = True

    def __init__(self, folder: str):
        with open(os.path.join(folder, "open_clip_config.json"), encoding="utf-8") as file:
            config = json.load(file)
        if "model_cfg" not in config:
            raise ValueError(f"{folder}: open_clip_config.json has no 'model_cfg': it is not an open_clip model.")
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


def _load(folder: str, config: dict):
    if "hf_model_name" in config["model_cfg"].get("text_cfg", {}):
        raise ValueError(
            f"{folder}: this model's text tower is built from a download"
            f" ({config['model_cfg']['text_cfg']['hf_model_name']}), and Atelier never downloads: use a model with its"
            f" own text tower."
        )
    files = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
    wanted = "open_clip_model.safetensors"
    if wanted not in files and len(files) != 1:
        raise ValueError(
            f"{folder} has {len(files)} .safetensors files, expected {wanted} (turn open_clip_pytorch_model.bin into"
            " it with `python dev.py convert`)."
        )
    try:
        import open_clip
    except ImportError as error:
        raise ValueError(
            f"Loading {folder} needs the package open_clip_torch ({error}): run `pip install open_clip_torch` in the "
            "host's Python."
        ) from error
    from safetensors.torch import load_file

    source = f"local-dir:{folder}"
    model = open_clip.create_model(source, load_weights=False, pretrained_image=False, pretrained_text=False)
    state = load_file(os.path.join(folder, wanted if wanted in files else files[0]))
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise ValueError(
            f"{folder}: the weights do not fit open_clip_config.json ({len(missing)} missing: {missing[:3]}, "
            f"{len(unexpected)} unexpected: {unexpected[:3]})."
        )
    return model, open_clip.get_tokenizer(source)
