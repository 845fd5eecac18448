"""What the wardrobe (and anything else that compares pictures with words) asks of an encoder, and the host's
CLIP_VISION as one.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import comfy.model_management
import torch

from ...craft.wardrobe.wardrobe_store import EncoderIdentity

BATCH = 16


class FashionEncoder(ABC):
    """Pictures (and words) to unit vectors that may be compared by their dot product.

    name: for people. hash: hex digits over weights and picture preparation; vectors of two encoders may be mixed only
    when it is equal. dim, tokens: shape of a picture's vectors. speaks: encode_text works. fuses: fuse works. reads:
    it has read_attributes(images, confidence, doubt), which names attributes better than comparing with sentences.
    logit_scale: what cosines are multiplied with before a softmax (1 / temperature).
    """

    name: str
    hash: str
    dim: int
    tokens: int = 1
    speaks: bool = False
    fuses: bool = False
    reads: bool = False
    logit_scale: float = 100.0

    @property
    def identity(self) -> EncoderIdentity:
        return EncoderIdentity(self.name, self.hash, self.dim, self.tokens)

    def encode_image(self, images: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """images: [N, H, W, C] in 0..1, or a list of [H, W, C] of any sizes -> float32 [N, dim], or [N, tokens, dim]
        when tokens > 1, rows of length 1, on the CPU. Checks for Cancel between batches."""
        return self._in_batches(images, lambda chunk: self._image_vectors(list(chunk)))

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """texts -> float32 [N, dim], rows of length 1, on the CPU. Raises ValueError when the encoder has no words."""
        return self._in_batches(list(texts), lambda chunk: self._text_vectors(list(chunk)))

    def fuse(self, images: torch.Tensor | Sequence[torch.Tensor], texts: Sequence[str]) -> torch.Tensor:
        """Each picture with the change in its text -> float32 [N, dim] (Q-Former's joint pass)."""
        rows = list(zip(images, texts))
        return self._in_batches(rows, lambda chunk: self._fused_vectors([p for p, _ in chunk], [t for _, t in chunk]))

    def _in_batches(self, rows, work) -> torch.Tensor:
        parts = []
        for start in range(0, len(rows), BATCH):
            comfy.model_management.throw_exception_if_processing_interrupted()
            with torch.inference_mode():
                parts.append(work(rows[start : start + BATCH]).float().cpu())
        if not parts:
            return torch.zeros(0, self.dim)
        return torch.nn.functional.normalize(torch.cat(parts), dim=-1)

    @abstractmethod
    def _image_vectors(self, images: list[torch.Tensor]) -> torch.Tensor: ...

    def _text_vectors(self, texts: list[str]) -> torch.Tensor:
        raise ValueError(
            f"The encoder {self.name!r} sees pictures only: search by picture, or load an encoder with a text tower."
        )

    def _fused_vectors(self, images: list[torch.Tensor], texts: list[str]) -> torch.Tensor:
        raise ValueError(
            f"The encoder {self.name!r} has no joint pass of picture and words: choose another way to compose."
        )


def tensors_hash(tensors: dict[str, torch.Tensor], extra: str = "") -> str:
    """A hash that any retraining changes: names, shapes and up to 4096 evenly spaced values of every tensor."""
    digest = hashlib.blake2b(extra.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().flatten()
        step = max(1, tensor.numel() // 4096)
        digest.update(f"{name}{tuple(tensors[name].shape)}".encode())
        digest.update(tensor[::step].float().cpu().numpy().tobytes())
    return digest.hexdigest()


class ClipVisionEncoder(FashionEncoder):
    """Any CLIP_VISION of the host (CLIP, SigLIP, DINOv2): pictures only."""

    def __init__(self, clip_vision, crop: bool = True):
        self._vision, self._crop = clip_vision, crop
        self.hash = tensors_hash(clip_vision.get_sd(), f"clip_vision {clip_vision.image_size} {crop}")
        vector = self._image_vectors([torch.zeros(32, 32, 3)])
        self.dim = vector.shape[-1]
        self.name = f"CLIP_VISION {self.dim}"

    def _image_vectors(self, images: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([self._one(image) for image in images])

    def _one(self, image: torch.Tensor) -> torch.Tensor:
        output = self._vision.encode_image(image[None, ..., :3], crop=self._crop)
        vector = output["image_embeds"]
        return vector.mean(1) if vector.ndim == 3 else vector


class ColourShapeEncoder(FashionEncoder):
    """The descriptor of craft/picture/colour_shape.py as an encoder: no model file, pictures only."""

    name = "colours and shapes"

    def __init__(self):
        from ...craft.picture import colour_shape

        self._describe, self.dim, self.hash = colour_shape.describe, colour_shape.DIM, colour_shape.source_hash()

    def _image_vectors(self, images: list[torch.Tensor]) -> torch.Tensor:
        arrays = [(image[..., :3].float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy() for image in images]
        return torch.stack([torch.from_numpy(self._describe(array)) for array in arrays])
