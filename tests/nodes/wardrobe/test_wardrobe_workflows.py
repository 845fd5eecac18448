"""The shipped wardrobe graphs run in the real host, offline, on a drawn wardrobe."""

import json
from pathlib import Path

import pytest

API = Path(__file__).resolve().parents[3] / "workflows" / "api"


def graph(name: str) -> dict:
    return {
        key: value
        for key, value in json.loads((API / f"{name}.json").read_text(encoding="utf-8")).items()
        if key[0] != "_"
    }


def node(prompt: dict, kind: str) -> str:
    return next(key for key, value in prompt.items() if value["class_type"] == f"Atelier{kind}")


def test_same_but_different_follows_the_change(run_graph):
    prompt = graph("same_but_different")
    prompt[node(prompt, "DrawnWardrobe")]["inputs"]["count"] = 24
    search = prompt[node(prompt, "SearchWardrobe")]["inputs"]
    search["text"] = "in black"
    run = run_graph(prompt)
    hits = run.outputs[node(prompt, "SearchWardrobe")]["atelier_hits"]
    assert len(hits) == 6 and len({hit["path"] for hit in hits}) == 6
    assert "24 pictures can be found" in run.outputs[node(prompt, "IndexWardrobe")]["text"][0]
    search["text"] = "in white"
    other = run_graph(prompt).outputs[node(prompt, "SearchWardrobe")]["atelier_hits"]
    assert [hit["path"] for hit in other] != [hit["path"] for hit in hits]


@pytest.mark.parametrize("name", ["find_and_try_on", "sketch_to_outfit"])
def test_what_was_found_or_drawn_is_worn(name, executor_host, tryon_folder, run_graph):
    prompt = graph(name)
    prompt[node(prompt, "LoadTryOnModel")]["inputs"]["model_name"] = "tiny.safetensors"
    if name == "find_and_try_on":
        prompt[node(prompt, "DrawnWardrobe")]["inputs"]["count"] = 18
    run = run_graph(prompt)
    saved = run.outputs[next(key for key, value in prompt.items() if value["class_type"] == "SaveImage")]["images"]
    assert len(saved) == 1
    if name == "find_and_try_on":
        for key, category in (("31", "upper"), ("33", "lower")):
            assert {hit["category"] for hit in run.outputs[key]["atelier_hits"]} == {category}


def test_describe_a_garment_gives_attributes_and_figures(run_graph):
    prompt = graph("describe_a_garment")
    run = run_graph(prompt)
    assert "concept:" in run.outputs[node(prompt, "GarmentCaption")]["text"][0]
    assert "BLEU-4: 1.0" in run.outputs[node(prompt, "CaptionMetrics")]["text"][0]
    assert "SSIM: 1.0" in run.outputs[node(prompt, "ImageMetrics")]["text"][0]
    assert "colour:" in run.outputs[node(prompt, "GarmentAttributes")]["text"][0]
