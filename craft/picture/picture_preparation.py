"""Bringing a picture into the form that an encoder was trained on: size, cut, mean and deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Preparation:
    """`resize`: "shortest" (shorter side to size, centre cut), "squash" (both sides), "longest" (longer side, filled).

    `pad_ratio`: over this ratio of sides the shorter one is first filled with black (BLIP-2 retrieval's 1.25), 0 =
    never.
    """

    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    resize: str = "shortest"
    interpolation: str = "bicubic"
    fill: int = 0
    pad_ratio: float = 0.0

    @staticmethod
    def from_open_clip(config: dict) -> Preparation:
        """From open_clip_config.json; what preprocess_cfg does not say is open_clip's default."""
        told = config.get("preprocess_cfg", {})
        size = told.get("size") or config["model_cfg"]["vision_cfg"].get("image_size", 224)
        size = size if isinstance(size, int) else size[0]
        preparation = Preparation(
            size,
            tuple(told.get("mean", (0.48145466, 0.4578275, 0.40821073))),
            tuple(told.get("std", (0.26862954, 0.26130258, 0.27577711))),
            told.get("resize_mode", "shortest"),
            told.get("interpolation", "bicubic"),
            told.get("fill_color", 0),
        )
        if preparation.resize not in ("shortest", "squash", "longest") or preparation.interpolation not in _FILTERS:
            raise ValueError(
                f"open_clip_config.json asks for resize_mode {preparation.resize!r} with"
                f" {preparation.interpolation!r}, known are shortest, squash, longest with bicubic, bilinear."
            )
        return preparation

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """[H, W, C >= 3] in 0..1 -> float32 [3, size, size]."""
        array = (image[..., :3].float().cpu().clamp(0, 1) * 255.0).round().to(torch.uint8).numpy()
        picture = self._pad(Image.fromarray(array)) if self.pad_ratio else Image.fromarray(array)
        pixels = np.asarray(getattr(self, f"_{self.resize}")(picture), dtype=np.float32) / 255.0
        mean, deviation = torch.tensor(self.mean), torch.tensor(self.deviation)
        return ((torch.from_numpy(pixels) - mean) / deviation).permute(2, 0, 1)

    def _resized(self, picture: Image.Image, width: int, height: int) -> Image.Image:
        return picture.resize((width, height), _FILTERS[self.interpolation])

    def _squash(self, picture: Image.Image) -> Image.Image:
        return self._resized(picture, self.size, self.size)

    def _shortest(self, picture: Image.Image) -> Image.Image:
        # The longer side is cut down to a whole number, as torchvision's Resize does.
        width, height = picture.size
        longer = int(self.size * max(width, height) / min(width, height))
        picture = self._resized(picture, *((self.size, longer) if width <= height else (longer, self.size)))
        left, top = round((picture.width - self.size) / 2), round((picture.height - self.size) / 2)
        return picture.crop((left, top, left + self.size, top + self.size))

    def _longest(self, picture: Image.Image) -> Image.Image:
        scale = self.size / max(picture.size)
        picture = self._resized(picture, *(max(1, round(side * scale)) for side in picture.size))
        ground = Image.new("RGB", (self.size, self.size), (self.fill,) * 3)
        ground.paste(picture, ((self.size - picture.width) // 2, (self.size - picture.height) // 2))
        return ground

    def _pad(self, picture: Image.Image) -> Image.Image:
        width, height = picture.size
        if max(width, height) / min(width, height) < self.pad_ratio:
            return picture
        target = int(max(width, height) / self.pad_ratio)
        across, down = max(int((target - width) / 2), 0), max(int((target - height) / 2), 0)
        ground = Image.new("RGB", (width + 2 * across, height + 2 * down))
        ground.paste(picture, (across, down))
        return ground
