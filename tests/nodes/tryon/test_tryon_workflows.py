"""The shipped try-on graphs run on the host, from the drawn figure to the saved picture, with a tiny random network."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

API = Path(__file__).resolve().parents[3] / "workflows" / "api"


@pytest.mark.parametrize("path", sorted(API.glob("try_on_*.json")), ids=lambda path: path.stem)
def test_shipped_graph_runs(path, executor_host, tryon_folder, run_graph):
    graph = {
        key: entry for key, entry in json.loads(path.read_text(encoding="utf-8")).items() if not key.startswith("_")
    }
    named = [entry["inputs"] for entry in graph.values() if entry["inputs"].get("model_name")]
    assert named and all(inputs["model_name"] == "studio" for inputs in named)
    for inputs in named:
        inputs["model_name"] = "tiny.safetensors"
    run = run_graph(graph)
    saves = [key for key, entry in graph.items() if entry["class_type"] == "SaveImage"]
    pictures = [picture for key in saves for picture in run.outputs[key]["images"]]
    people = max(
        entry["inputs"].get("people", 1) for entry in graph.values() if entry["class_type"] == "AtelierCroquis"
    )
    assert len(pictures) == people
    for picture in pictures:
        image = np.asarray(Image.open(executor_host.host.base / "output" / picture["subfolder"] / picture["filename"]))
        assert image.shape == (256, 192, 3) and image.std() > 10
