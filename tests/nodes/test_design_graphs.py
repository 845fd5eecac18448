"""The shipped design workflows, run by the host's own executor with tiny networks in place of the checkpoint."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

API = Path(__file__).resolve().parents[2] / "workflows" / "api"


@pytest.fixture
def graph(run_graph, host, tiny, tiny_designer, tmp_path):
    """graph(name) -> the shipped API graph, small: a tiny designer behind Load Designer, checkpoint loaders replaced;
    graph.run(prompt)."""

    class TinyCheckpoint:
        RETURN_TYPES = ("MODEL", "CLIP", "VAE")
        FUNCTION = "load"
        CATEGORY = "test"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {}}

        def load(self):
            # As the host does it: made under inference mode.
            return tiny.unet(), tiny.clip(), tiny.vae()

    host.nodes.NODE_CLASS_MAPPINGS["TinyCheckpoint"] = TinyCheckpoint

    def load(name):
        entries = json.loads((API / f"{name}.json").read_text(encoding="utf-8"))
        prompt = {key: value for key, value in entries.items() if not key.startswith("_")}
        for entry in prompt.values():
            if entry["class_type"] in ("CheckpointLoaderSimple", "AtelierLoadHieraFashDiffCheckpoint"):
                entry["class_type"], entry["inputs"] = "TinyCheckpoint", {}
            if entry["class_type"] == "EmptyLatentImage":
                entry["inputs"].update(width=64, height=64, batch_size=2)
            if entry["class_type"] in ("KSampler", "BasicScheduler"):
                entry["inputs"]["steps"] = 3
            if entry["class_type"] in ("AtelierRefiner", "AtelierEditPart"):
                entry["inputs"]["steps"] = 4
        return prompt

    yield load, run_graph
    del host.nodes.NODE_CLASS_MAPPINGS["TinyCheckpoint"]


def images(done, key):
    return done.outputs[key]["images"]


def picture(host, done, key, number=0):
    """A picture that a run saved or showed, int [H,W,3]."""
    import numpy as np
    from PIL import Image

    said = done.outputs[key]["images"][number]
    folder = Path(host.folder_paths.get_directory_by_type(said["type"]))
    return np.asarray(Image.open(folder / said["subfolder"] / said["filename"]).convert("RGB")).astype(int)


@pytest.mark.parametrize("name", ["concept_to_design", "concept_to_design_your_checkpoint"])
def test_concept_to_design_and_another_pick_from_the_cache(graph, name):
    load, run = graph
    prompt = load(name)
    done = run(prompt)
    assert len(images(done, "10")) == 1 and images(done, "6") and done.outputs["8"]["images"]
    prompt["6"]["inputs"]["pick"] = "2, 1"
    again = run(prompt)
    assert len(images(again, "10")) == 2
    cached = next(data["nodes"] for event, data in run.executor.status_messages if event == "execution_cached")
    assert "5" in cached, "picking another draft must not draw the drafts again"


@pytest.mark.parametrize("form", ["mix", "phrases", "guidance"])
def test_bound_attributes_in_every_form(graph, form):
    load, run = graph
    prompt = load("bound_attributes")
    prompt["4"]["inputs"]["form"] = form
    done = run(prompt)
    assert images(done, "8") and images(done, "10")


def test_fabric_from_a_picture(graph, host):
    load, run = graph
    prompt = load("fabric_from_a_picture")
    prompt["3"]["inputs"]["size"] = 64
    done = run(prompt)
    assert len(images(done, "9")) == 2
    first = picture(host, done, "9")
    prompt["2"]["inputs"]["seed"] = prompt["2"]["inputs"]["outfit_seed"] = 9
    assert (first != picture(host, run(prompt), "9")).any(), "another swatch must matter"


def test_drafts_ranked(graph, host):
    from atelier.models.equifashion.generator import LatentGenerator

    load, run = graph
    prompt = load("drafts_ranked")
    folder = Path(host.folder_paths.get_folder_paths("checkpoints")[0])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    state = {f"latent_generator.{name}": value for name, value in LatentGenerator(4, 4, 32).state_dict().items()}
    save_file(state, folder / "generator_of_a_test.safetensors")
    try:
        prompt["2"]["inputs"]["checkpoint"] = "generator_of_a_test.safetensors"
        from atelier.nodes import wardrobe

        prompt["7"]["inputs"]["encoder"] = wardrobe.NO_FILE
        prompt["8"]["inputs"].update(attributes="", references=["6", 1])
        done = run(prompt)
        assert len(images(done, "9")) == 2
        prompt["8"]["inputs"].pop("references")
        prompt["8"]["inputs"]["attributes"] = "ruffle hem"
        with pytest.raises(AssertionError, match="sees pictures only"):
            run(prompt)
    finally:
        (folder / "generator_of_a_test.safetensors").unlink()


def test_hierarchical_prompt_says_its_attributes(graph, host):
    load, run = graph
    prompt = load("hierarchical_prompt")
    first = picture(host, run(prompt), "11")
    prompt["4"]["inputs"]["attributes"] = ""
    prompt["4"]["inputs"].pop("more_attributes")
    assert (first != picture(host, run(prompt), "11")).any(), "attributes must matter"


def test_prompt_windows_by_hand(graph):
    load, run = graph
    assert images(run(load("prompt_windows_by_hand")), "10")


def test_design_on_a_pose(graph, host):
    load, run = graph
    prompt = load("design_on_a_pose")
    done = run(prompt)
    assert len(images(done, "8")) == 2
    first = picture(host, done, "8")
    prompt["2"]["inputs"]["seed"] = 99
    assert (first != picture(host, run(prompt), "8")).any(), "another pose must matter"


def test_edit_attributes_changes_its_parts_one_after_another(graph, host):
    load, run = graph
    prompt = load("edit_attributes")
    prompt["90"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "before"}}
    for key in ("12", "22", "32", "42"):
        prompt[f"{key}9"] = {"class_type": "MaskPreview", "inputs": {"mask": [key, 0]}}
    done = run(prompt)
    before = picture(host, done, "90")
    for key, saved in (("12", "14"), ("22", "24"), ("32", "34"), ("42", "44")):
        after, mask = picture(host, done, saved), picture(host, done, f"{key}9").max(2) > 0
        changed = (after != before).any(2)
        assert 0 < mask.sum() < mask.size / 2 and not changed[~mask].any() and changed[mask].mean() > 0.5
        before = after
