"""The shipped wardrobe graphs run in the real host, offline, on a drawn wardrobe."""

import json
from pathlib import Path

import pytest

API = Path(__file__).resolve().parents[2] / "workflows" / "api"


def graph(name: str) -> dict:
    return {key: value for key, value in json.loads((API / f"{name}.json").read_text(encoding="utf-8")).items() if key[0] != "_"}


def node(prompt: dict, kind: str) -> str:
    return next(key for key, value in prompt.items() if value["class_type"] == f"Atelier{kind}")


def test_same_but_different_leaves_the_start_out_and_fills_the_board(run_graph):
    prompt = graph("same_but_different")
    run = run_graph(prompt)
    hits = run.outputs[node(prompt, "SearchWardrobe")]["atelier_hits"]
    assert len(hits) == 4 and len({hit["path"] for hit in hits}) == 4
    assert "6 pictures can be found" in run.outputs[node(prompt, "IndexWardrobe")]["text"][0]
    # The picture searched with is itself in the wardrobe: shown when asked for, and then first.
    prompt[node(prompt, "SearchWardrobe")]["inputs"] |= {"hide_same": False, "variety": 0.0}
    first = run_graph(prompt).outputs[node(prompt, "SearchWardrobe")]["atelier_hits"][0]
    assert first["score"] == pytest.approx(1, abs=1e-3) and first["path"] not in {hit["path"] for hit in hits}


def test_describe_a_garment_gives_attributes_and_figures(run_graph):
    prompt = graph("describe_a_garment")
    run = run_graph(prompt)
    assert "concept:" in run.outputs[node(prompt, "GarmentCaption")]["text"][0]
    assert "BLEU-4: 1.0" in run.outputs[node(prompt, "CaptionMetrics")]["text"][0]
    assert "SSIM: 1.0" in run.outputs[node(prompt, "ImageMetrics")]["text"][0]
    assert "colour:" in run.outputs[node(prompt, "GarmentAttributes")]["text"][0]
