"""Captioner folders that are refused, each in a sentence, and nothing of them run."""

import json
import shutil

import pytest
import torch


def copied(folder, target):
    return shutil.copytree(folder, target / folder.name)


@pytest.mark.parametrize("kind", ["florence2", "qwen2_5_vl"])
def test_a_file_that_lacks_tensors_is_refused(captioner_folders, tmp_path, kind):
    """transformers itself fills them with random numbers."""
    from atelier.host.wardrobe.captioner import Captioner
    from safetensors.torch import load_file, save_file

    folder = copied(captioner_folders(kind), tmp_path)
    state = load_file(folder / "model.safetensors")
    Captioner(str(folder))
    lost = next(name for name in state if "fc1.weight" in name or "down_proj.weight" in name)
    rest = {name: value for name, value in state.items() if name != lost}
    save_file(rest, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lack 1 of the network's tensors"):
        Captioner(str(folder))
    save_file(state | {lost: torch.zeros(3, 3)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="cannot be loaded as a captioner"):
        Captioner(str(folder))
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="cannot be loaded as a captioner"):
        Captioner(str(folder))


def test_a_chat_model_without_its_template_is_refused(captioner_folders, tmp_path):
    from atelier.host.wardrobe.captioner import Captioner

    folder = copied(captioner_folders("idefics3"), tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        Captioner(str(folder))


def test_quantized_weights_are_refused(captioner_folders, tmp_path):
    from atelier.host.wardrobe.captioner import Captioner

    folder = copied(captioner_folders("qwen2_vl"), tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": {"quant_method": "awq"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="weights are quantized"):
        Captioner(str(folder))


def test_smolvlm2_names_the_package_that_it_needs(captioner_folders, monkeypatch):
    from atelier.host.wardrobe.captioner import Captioner
    from transformers.models.smolvlm import processing_smolvlm

    folder = captioner_folders("smolvlm")
    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    with pytest.raises(ValueError, match="pip install num2words"):
        Captioner(str(folder))
    Captioner(str(captioner_folders("idefics3")))  # the first SmolVLM does without


def test_code_in_the_folder_is_never_run(captioner_folders, tmp_path):
    """A folder as Florence-2 was first published: its own classes in .py files, named by auto_map."""
    from atelier.host.wardrobe.captioner import Captioner

    folder = copied(captioner_folders("florence2"), tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "florence2_own"}
    config["auto_map"] = {"AutoConfig": "own_code.Config", "AutoModelForCausalLM": "own_code.Model",
                          "AutoProcessor": "own_code.Processor",
                          "AutoModelForImageTextToText": "own_code.Model"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ValueError, match=r"folders that bring \.py files do not"):
        Captioner(str(folder))
    assert not (tmp_path / "ran").exists()
