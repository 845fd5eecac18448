"""Captioners of every family as folders in the host's models folder, and a picture to describe."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from atelier.tests.nodes.wardrobe.captioner_families import florence2, llava, qwen, smol
from PIL import Image


@pytest.fixture(scope="module")
def num2words():
    """SmolVLM2's processor asks for this package, for videos only; the tests do not depend on it."""
    from transformers.models.smolvlm import processing_smolvlm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processing_smolvlm, "num2words", str)
        yield


@pytest.fixture(scope="module")
def captioner_folders(host, num2words):
    """captioner_folders(kind) -> the folder of that family in models/atelier/captioners, made once."""
    made = {}

    def folder(kind):
        if kind not in made:
            make = {"florence2": florence2, "llava": llava, "qwen2_vl": qwen, "qwen2_5_vl": qwen}.get(kind, smol)
            model, processor = make(kind)
            made[kind] = host.base / "models" / "atelier" / "captioners" / f"tiny-{kind}"
            # As published folders have it; the same picture must give the same words all the same.
            beams, chance = {"num_beams": 3, "early_stopping": True}, {"do_sample": True, "temperature": 9.0}
            ways = beams if kind == "florence2" else chance
            model.generation_config.update(bos_token_id=0, eos_token_id=1, pad_token_id=2, **ways)
            model.save_pretrained(made[kind])
            processor.save_pretrained(made[kind])
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def picture(host):
    pixels = np.random.default_rng(3).integers(0, 255, (40, 28, 3), np.uint8)
    Image.fromarray(pixels).save(host.base / "input" / "captioned.png")
    return SimpleNamespace(pixels=Image.fromarray(pixels), tensor=torch.from_numpy(pixels)[None].float() / 255)
