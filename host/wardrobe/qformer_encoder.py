"""A Q-Former (BLIP-2 retrieval, UniFashion) from a local folder as an encoder: 32 vectors a picture, and a
joint pass.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import torch

from ...craft.picture.picture_preparation import Preparation
from ...models import configuration
from ...models.unifashion import preparation as prepared
from ...models.unifashion import qformer_keys
from ...models.unifashion.qformer import QFormer
from .. import model_file, transformers_folder
from ..folder_weights import weight_files
from ..managed_network import ManagedNetwork
from .fashion_encoder import BATCH, FashionEncoder, tensors_hash


class QFormerEncoder(FashionEncoder):
    """`folder`: the weights (.safetensors, one or several; the EVA tower may be a file of its own), a BERT tokenizer
    (vocab.txt or tokenizer.json), and config.json where it is a transformers model."""

    speaks = fuses = True

    def __init__(self, folder: str):
        network = load_qformer(folder)
        self.name = os.path.basename(os.path.normpath(folder))
        self.hash = tensors_hash(network.state_dict(), "qformer")
        self.tokens, self.dim = network.query_count, network.model.vision_projection.out_features
        self.logit_scale = 1.0 / float(network.temperature.detach())
        self.preparation = Preparation(network.model.config.vision_config.image_size, prepared.MEAN, prepared.DEVIATION,
                                       pad_ratio=prepared.PAD_RATIO)  # fmt: skip
        self._words = load_bert_tokenizer(folder)
        self._network = ManagedNetwork(network)

    def _pixels(self, images: list[torch.Tensor], device: torch.device) -> torch.Tensor:
        return torch.stack([self.preparation.apply(image) for image in images]).to(device, self._network.dtype)

    def _ids(self, texts: list[str], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        ids = self._words([prepared.clean_text(text) for text in texts], padding=True, truncation=True,
                          max_length=prepared.MOST_TOKENS, return_tensors="pt")  # fmt: skip
        return ids["input_ids"].to(device), ids["attention_mask"].to(device)

    def _image_vectors(self, images: list[torch.Tensor]) -> torch.Tensor:
        network, device = self._network.ready()
        return network.image_vectors(network.queries(network.see(self._pixels(images, device))))

    def _text_vectors(self, texts: list[str]) -> torch.Tensor:
        network, device = self._network.ready()
        return network.text_vectors(network.text(*self._ids(texts, device)))

    def _fused_vectors(self, images: list[torch.Tensor], texts: list[str]) -> torch.Tensor:
        network, device = self._network.ready()
        return network.composed_vectors(
            network.joint(network.see(self._pixels(images, device)), *self._ids(texts, device))
        )

    def match(self, images: list[torch.Tensor], texts: list[str]) -> torch.Tensor:
        """How well each picture and its text belong together, 0..1 [N] (the matching head)."""
        with torch.inference_mode():
            network, device = self._network.ready()
            joint = network.joint(network.see(self._pixels(images, device)), *self._ids(texts, device))
            return network.match_logits(joint).float().softmax(-1)[:, 1].cpu()

    def write(self, images: list[torch.Tensor], longest: int = 40, style: str = "") -> list[str]:
        """Captions by the Q-Former's own language head (greedy); it has one style. Raises ValueError when the file has
        no such head. Shows progress and checks for Cancel before every token."""
        bar, rows = comfy.utils.ProgressBar(len(images)), []
        for first in range(0, len(images), BATCH):
            with torch.inference_mode():
                network, device = self._network.ready()
                if network.language_head is None:
                    raise ValueError(f"{self.name}: this Q-Former has no language head, so it cannot write captions.")
                start = network.model.embeddings.word_embeddings.num_embeddings - 1  # [DEC] is the last id
                pixels = self._pixels(images[first : first + BATCH], device)
                cancel = comfy.model_management.throw_exception_if_processing_interrupted
                rows += network.write(pixels, start, self._words.sep_token_id, longest, before_each=cancel)
            bar.update_absolute(len(rows), len(images))
        return [self._words.decode(row, skip_special_tokens=True).strip() for row in rows]


def load_qformer(folder: str) -> QFormer:
    """The network in a folder, any of the three layouts; every tensor must find its place."""
    state, tower = {}, {}
    for path in weight_files(Path(folder)):
        tensors = model_file.read(path)[0]
        (tower if "blocks.0.norm1.weight" in tensors else state).update(tensors)
    if qformer_keys.is_lavis(state) and not any(name.startswith("visual_encoder.") for name in state) and tower:
        state = qformer_keys.with_eva_tower(state, tower)
    if "language_projection.weight" in state or "opt_proj.weight" in state or "t5_proj.weight" in state:
        raise ValueError(
            f"{folder} is a BLIP-2 captioning model, which has no words to compare with: put it into"
            f" models/atelier/captioners."
        )
    config = None
    if (Path(folder) / "config.json").exists():
        _, config = transformers_folder.read_config(folder, {"blip-2": {"text_config": "opt"}})
    try:
        return QFormer.from_state(state, config)
    except (TypeError, KeyError, AttributeError, RuntimeError, IndexError, ArithmeticError, AssertionError) as problem:
        raise ValueError(
            f"{folder}: its configuration does not describe a Q-Former of its weights"
            f" ({(str(problem).splitlines() or [repr(problem)])[0][:200]}); {configuration.ADVICE}."
        ) from problem


def load_bert_tokenizer(folder: str) -> Any:
    """BERT's tokenizer from vocab.txt or tokenizer.json of the folder. Raises ValueError where it cannot be read."""
    from transformers import BertTokenizerFast

    if not any(os.path.isfile(os.path.join(folder, name)) for name in ("tokenizer.json", "vocab.txt")):
        raise ValueError(
            f"{folder} lacks the words' table: put BERT's vocab.txt or tokenizer.json (bert-base-uncased) there."
        )
    transformers_folder.check_side_files(Path(folder))
    try:
        return BertTokenizerFast.from_pretrained(folder, **transformers_folder.LOCAL)
    except Exception as problem:  # the tokenizers library raises Exception itself
        raise ValueError(
            f"{folder}: the words' table cannot be read ({(str(problem).splitlines() or [repr(problem)])[0][:200]});"
            " put BERT's vocab.txt or tokenizer.json (bert-base-uncased) there."
        ) from problem
