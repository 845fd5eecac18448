"""Captioners from local folders by transformers: Florence-2, BLIP-2, and chat models (SmolVLM, Qwen-VL, LLaVA).

No remote code is run and nothing is downloaded. Greedy decoding, as published: the same picture gives the same words.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import comfy.model_management
import comfy.utils
import torch
from PIL import Image
from safetensors import SafetensorError

from ...models import configuration
from .. import transformers_folder
from ..folder_weights import weight_files
from ..images import to_uint8
from ..managed_network import ManagedNetwork
from ..transformers_folder import LOCAL

LOG = logging.getLogger(__name__)

# UniFashion's instructions (Table 7 of the paper), one a style.
INSTRUCTIONS = {
    "short": "Short description.",
    "professional": "Write a detail and professional description for the cloth.",
    "detailed": "Describe the cloth's style, color, design... and other key points.",
}
_FLORENCE = {"short": "<CAPTION>", "professional": "<DETAILED_CAPTION>", "detailed": "<MORE_DETAILED_CAPTION>"}
# Descriptions of what is absent ("no collar") mislead encoders and prompts alike.
PRESENT_ONLY = " Say only what is there, nothing that is missing."
# Qwen-VL cuts a picture into as many patches as it has room for: a phone's photo would take minutes and all memory.
LONGEST_SIDE = 1536
_NO_CHAT = ("florence2", "blip-2")
# model_type -> how the library's classes of the family begin.
_CLASSES = {
    "florence2": "Florence2", "blip-2": "Blip2", "idefics3": "Idefics3", "smolvlm": "SmolVLM", "qwen2_vl": "Qwen2VL",
    "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL", "llava": "Llava", "llava_next": "LlavaNext",
    "llava_onevision": "LlavaOnevision",
}  # fmt: skip
_TEXT = {"florence2": "bart", "blip-2": "opt", "llava_onevision": "qwen2"}
_PARTS = {kind: {"text_config": _TEXT.get(kind, "llama"), "vision_config": "clip_vision_model"} for kind in _CLASSES}
# What transformers raises for a folder that it cannot make sense of.
_UNREADABLE = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, ImportError, RuntimeError, ArithmeticError,
    AssertionError, SafetensorError,
)  # fmt: skip


class Captioner:
    """`folder`: config.json, .safetensors and the processor's files of one model."""

    def __init__(self, folder: str):
        self.name = os.path.basename(os.path.normpath(folder))
        self.kind = _kind(folder)
        if not weight_files(Path(folder)):
            raise ValueError(f"{folder} has no .safetensors: turn its .bin into it with `python dev.py convert`.")
        try:
            cls, config = transformers_folder.read_config(folder, _PARTS)
        except ValueError as problem:
            raise _unfit(folder, self.kind, str(problem)) from problem
        dtype = _dtype(config)
        self.processor, model = _load(folder, self.kind, cls, config, dtype)
        self._network = ManagedNetwork(model, dtype)
        LOG.info("Load Captioner: %s, a model of type %s in %s", self.name, self.kind, dtype)

    def write(
        self, images: torch.Tensor, style: str, *, words: str = "", change: str = "", longest: int = 256
    ) -> list[str]:
        """One caption for each picture of [N, H, W, C]. `words`: words to choose from; `change`: describe the garment
        as it would be after this change. Raises ValueError when a model that takes no instruction is given these."""
        if self.kind in _NO_CHAT and (change.strip() or words.strip()):
            what = "follow a wished change" if change.strip() else "choose from given words"
            raise ValueError(f"{self.name} cannot {what}: leave it empty, or load a chat model (SmolVLM, Qwen-VL).")
        bar, captions = comfy.utils.ProgressBar(len(images)), []
        for number, image in enumerate(images):
            comfy.model_management.throw_exception_if_processing_interrupted()
            captions.append(self._one(Image.fromarray(to_uint8(image[..., :3])), style, words, change, longest))
            bar.update_absolute(number + 1, len(images))
        return captions

    def _one(self, picture: Image.Image, style: str, words: str, change: str, longest: int) -> str:
        prompt = self._prompt(style, words, change)
        inputs = self._inputs(picture, prompt)
        model, device = self._network.ready()
        inputs = {name: value.to(device, self._network.dtype) if value.is_floating_point() else value.to(device)
                  for name, value in inputs.items()}  # fmt: skip
        with torch.inference_mode():
            ids = model.generate(
                **inputs, do_sample=False, num_beams=1, max_new_tokens=longest, stopping_criteria=[_cancel]
            )
        if self.kind not in _NO_CHAT:
            ids = ids[:, inputs["input_ids"].shape[1] :]
        elif self.kind == "blip-2":
            ids = _without_prompt(ids, inputs)
        return " ".join(self.processor.batch_decode(ids, skip_special_tokens=True)[0].split())

    def _prompt(self, style: str, words: str, change: str) -> str:
        if self.kind == "florence2":
            return _FLORENCE[style]
        if change.strip():
            return (
                "Please generate a new caption to describe the clothing based on the given image and the Update "
                f"Guidance: {change.strip()} Caption:"
            )
        prompt = INSTRUCTIONS[style]
        if self.kind == "blip-2":
            return "" if style == "short" else f"Question: {prompt} Answer:"
        if words.strip():
            prompt += f" Choose from these words where they fit: {', '.join(words.split())}."
        return prompt + PRESENT_ONLY

    def _inputs(self, picture: Image.Image, prompt: str) -> dict:
        if self.kind in _NO_CHAT:
            return dict(self.processor(images=picture, text=prompt or None, return_tensors="pt"))
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
        text = self.processor.apply_chat_template(chat, add_generation_prompt=True)
        return dict(self.processor(text=[text], images=[picture], return_tensors="pt"))


def _cancel(input_ids, scores, **_):
    comfy.model_management.throw_exception_if_processing_interrupted()
    return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _without_prompt(ids: torch.Tensor, inputs: dict) -> torch.Tensor:
    """BLIP-2 gives the prompt back in some versions of transformers and not in others."""
    asked = inputs.get("input_ids")
    if asked is not None and ids.shape[1] >= asked.shape[1] and torch.equal(ids[:, : asked.shape[1]], asked):
        return ids[:, asked.shape[1] :]
    return ids


def _dtype(config: dict) -> torch.dtype:
    """Half precision where the device has it; bfloat16 for what was made in it, which float16 can overflow."""
    management = comfy.model_management
    device = management.text_encoder_device()
    if "bfloat16" in (config.get("dtype"), config.get("torch_dtype")) and management.should_use_bf16(device):
        return torch.bfloat16
    return torch.float16 if management.should_use_fp16(device) else torch.float32


def _kind(folder: str) -> str:
    """model_type of a folder's config.json, once it is clear that its weights are whole numbers of bits."""
    config = configuration.read(Path(folder) / "config.json")
    kind = str(config.get("model_type", ""))[:60]
    if config.get("quantization_config"):
        raise _unfit(folder, kind, "its weights are quantized; take the folder with 16- or 32-bit weights")
    return kind


def _load(folder: str, kind: str, config_class: type, checked: dict, dtype: torch.dtype):
    import transformers

    names = _CLASSES[kind]
    try:
        cls = getattr(transformers, f"{names}ForConditionalGeneration")
        config = config_class.from_dict(checked)
        transformers_folder.check_size(folder, lambda: cls(config), "captioner")
        processor = getattr(transformers, f"{names}Processor").from_pretrained(folder, **LOCAL)
        model, found = cls.from_pretrained(
            folder, config=config, **LOCAL, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
    except _UNREADABLE as error:
        raise _unfit(folder, kind, next(iter(str(error).strip().splitlines()), repr(error))) from error
    # transformers fills what it does not find with random numbers and only warns: such a model writes nonsense.
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        reason = f"its .safetensors lack {len(missing)} of the network's tensors, such as {missing[0]}"
        raise _unfit(folder, kind, reason)
    if kind not in _NO_CHAT and not getattr(processor, "chat_template", None):
        raise _unfit(folder, kind, "it has no chat template: chat_template.jinja or chat_template.json is missing")
    return processor, model


def _unfit(folder: str, kind: str, reason: str) -> ValueError:
    return ValueError(
        f"{folder} cannot be loaded as a captioner (model_type {kind!r}: {reason[:240].rstrip('.')}). Florence-2, "
        "BLIP-2, SmolVLM, Qwen-VL and LLaVA folders in transformers' own format work; folders that bring .py files "
        "do not."
    )
