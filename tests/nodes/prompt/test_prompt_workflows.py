"""The shipped workflows of the prompt stage, with tiny networks and pictures in place of files."""

import json
from pathlib import Path

import pytest
from atelier.tests.nodes.prompt.prompt_graph import keep
from atelier.tests.nodes.prompt.prompt_networks import tiny_clip, tiny_control_net, tiny_model

WORKFLOWS = Path(__file__).resolve().parents[3] / "workflows" / "api"


@pytest.fixture
def workflow(graph, tiny, monkeypatch):
    """Runs a shipped graph: loaders replaced, small pictures, few steps; the saved picture comes back."""
    vae = tiny.vae()

    def parts(self, **inputs):
        return tiny_model("sd15"), tiny_clip("sd15"), vae, tiny_control_net()

    def stand_in(types, function):
        body = {"INPUT_TYPES": classmethod(lambda cls: {}), "RETURN_TYPES": types, "FUNCTION": "load", "load": function}
        return type("StandIn", (), body)

    mappings = graph.run.host.nodes.NODE_CLASS_MAPPINGS
    loaded = ("MODEL", "CLIP", "VAE", "CONTROL_NET")
    for name, types, function in (
        ("CheckpointLoaderSimple", loaded[:3], lambda self: parts(self)[:3]),
        ("AtelierLoadHieraFashDiffCheckpoint", loaded, parts),
        ("AtelierLoadDesigner", loaded, parts),
    ):
        monkeypatch.setitem(mappings, name, stand_in(types, function))

    def run(name):
        nodes = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
        nodes = {key: node for key, node in nodes.items() if not key.startswith("_")}
        for node in list(nodes.values()):
            small = {"width": 256, "height": 352, "steps": 10}
            node["inputs"].update({k: v for k, v in small.items() if k in node["inputs"]})
            if node["class_type"] == "SaveImage":
                nodes |= keep(picture=node["inputs"]["images"])
            if node["class_type"] == "ImageCompositeMasked":
                nodes |= keep(own=node["inputs"]["destination"], mask=node["inputs"]["mask"])
        done = graph.run(nodes)
        return graph.kept["picture"], done

    return run


@pytest.mark.parametrize(
    "name", ["hierarchical_prompt", "prompt_windows_by_hand", "hierafashdiff_draft", "hierafashdiff_edit"]
)
def test_shipped_workflows_run(workflow, graph, name):
    picture, done = workflow(name)
    assert picture.shape == (1, 352, 256, 3) and picture.isfinite().all() and picture.std() > 0
    shown = [values["text"][0] for values in done.outputs.values() if "text" in values]
    if name in ("hierarchical_prompt", "hierafashdiff_draft"):
        assert len(shown) == 1 and "Ruffle Hem" in shown[0]
    if name == "hierafashdiff_edit":
        own, mask = graph.kept["own"], graph.kept["mask"] > 0
        changed = (picture - own).abs().amax(-1) > 0
        assert 0 < mask.sum() < mask.numel() and changed[mask].float().mean() > 0.9 and not changed[~mask].any()
