"""The studio wardrobe network as an encoder: words, pictures, picture + change, captions and attributes of drawn
garments.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import comfy.model_management
import torch

from ...craft.garments import BY_ID
from ...craft.prompt.vocabulary import ATTRIBUTES
from ...models.studio import WEIGHTS as STUDIO_FOLDER
from ...models.studio.wardrobe.wardrobe_attributes import CATEGORY, TYPES, VALUES
from ...models.studio.wardrobe.wardrobe_network import load_network, padded
from ...models.studio.wardrobe.wardrobe_picture import framed
from ...models.studio.wardrobe.wardrobe_words import (
    phrase,
    read_caption,
    says_something,
    sentence,
    token_ids,
    value_ids,
)
from ..images import to_uint8
from ..managed_network import ManagedNetwork
from .fashion_encoder import BATCH, FashionEncoder, tensors_hash

WEIGHTS = STUDIO_FOLDER / "wardrobe.safetensors"
_SAID = {
    "tee": "t-shirt",
    "tank": "tank top",
    "stripes": "striped",
    "checks": "checked",
    "dots": "dotted",
    "print": "printed",
}
_PUBLISHED = {value.lower(): value for values in ATTRIBUTES.values() for value in values}


class StudioEncoder(FashionEncoder):
    """Several vectors a picture (a garment is as like a text as its best vector), a joint pass, and a language head."""

    name = "studio"
    speaks = fuses = reads = True

    def __init__(self, path: Path = WEIGHTS):
        if not path.exists():
            raise ValueError(
                f"{path.name} is missing from the pack: restore it, or make it with `python dev.py train wardrobe`."
            )
        network = load_network(path)
        self.hash = tensors_hash(network.state_dict(), "studio wardrobe")
        self.tokens, self.dim = network.config.queries, network.config.dim
        self.logit_scale = 1.0 / float(network.temperature.detach())
        self._network = ManagedNetwork(network)

    def _pixels(self, images: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        seen = torch.stack([torch.from_numpy(framed(to_uint8(image[..., :3])).copy()) for image in images])
        return (seen.permute(0, 3, 1, 2) / 255).to(device, self._network.dtype)

    def _ids(self, texts: list[str], device: torch.device) -> torch.Tensor:
        for text in texts:
            if text.strip() and not says_something(text):
                raise ValueError(
                    f"The studio encoder knows none of the words in {text.strip()[:80]!r}: say the garment, its"
                    " colour, pattern, length, fit, sleeves, collar or hem ('navy dress with white dots, long"
                    " sleeves'), or load a larger encoder."
                )
        return padded([token_ids(text) for text in texts]).to(device)

    def _image_vectors(self, images: list[torch.Tensor]) -> torch.Tensor:
        network, device = self._network.ready()
        return network.image_vectors(network.queries(network.see(self._pixels(images, device))))

    def _text_vectors(self, texts: list[str]) -> torch.Tensor:
        network, device = self._network.ready()
        return network.text_vectors(network.text(self._ids(texts, device)))

    def _fused_vectors(self, images: list[torch.Tensor], texts: list[str]) -> torch.Tensor:
        network, device = self._network.ready()
        return network.composed_vectors(
            network.joint(network.see(self._pixels(images, device)), self._ids(texts, device))
        )

    def _written(self, images: Sequence[torch.Tensor], doubt: float):
        """(token ids, chances [L,vocabulary]) of every picture. Checks for Cancel between batches."""
        for start in range(0, len(images), BATCH):
            comfy.model_management.throw_exception_if_processing_interrupted()
            with torch.inference_mode():
                network, device = self._network.ready()
                rows, chances = network.write(self._pixels(images[start : start + BATCH], device), doubt)
            yield from zip(rows, chances.cpu(), strict=True)

    def write(self, images: Sequence[torch.Tensor], longest: int = 40, style: str = "professional") -> list[str]:
        """A caption of every picture [H,W,C] in the words of its language head; `longest` in words."""
        captions = [sentence(read_caption(ids), style) for ids, _ in self._written(images, 1.0)]
        return [" ".join(caption.split()[:longest]) for caption in captions]

    def read_attributes(self, images: Sequence[torch.Tensor], confidence: float, doubt: float = 1.0) -> list:
        """For every picture (((kind, value, chance), ...), category): what the language head is at least `confidence`
        sure of, in the words of the fashion vocabulary. Colours are left to the pixels."""
        return [self._named(ids, chances, confidence) for ids, chances in self._written(images, doubt)]

    def _named(self, ids: list[int], chances: torch.Tensor, confidence: float):
        said, sure, category = read_caption(ids), [], ""
        for kind, value in said.items():
            if kind in ("colour", "second colour"):
                continue
            token = value_ids(kind)[VALUES[kind].index(value)]
            row = chances[ids.index(token)]
            if kind == "type":
                category = _category(row, value, confidence)
            if float(row[token]) >= confidence:
                words = phrase(kind, value)
                sure.append((kind, _PUBLISHED.get(words, _SAID.get(value, words)), round(float(row[token]), 4)))
        return tuple(sure), category


def _category(row: torch.Tensor, value: str, confidence: float) -> str:
    """Types of one category add up: unsure between shirt and blouse is sure of upper."""
    tokens = [token for token, name in zip(value_ids("type"), TYPES, strict=True) if CATEGORY[name] == CATEGORY[value]]
    sure = float(row[tokens].sum()) >= confidence
    return BY_ID[CATEGORY[value]].label if sure else ""
