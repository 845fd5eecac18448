"""The host's executor with loader nodes for tiny networks and a node that keeps what reaches it."""

from types import SimpleNamespace

import pytest
import torch
from atelier.tests.nodes.prompt.prompt_networks import tiny_clip, tiny_control_net, tiny_model


@pytest.fixture
def graph(run_graph, monkeypatch):
    """`run_graph` with loader nodes for the tiny networks and a node that keeps what reaches it."""
    kept, encoded = {}, []

    def loader(name, result, type_):
        made = []  # one object for the whole test, as a loader node's cache gives

        def load(self):
            made or made.append(result())
            return (made[0],)

        return type(
            name,
            (),
            {"INPUT_TYPES": classmethod(lambda cls: {}), "RETURN_TYPES": (type_,), "FUNCTION": "load", "load": load},
        )

    def counting_clip():
        clip = tiny_clip("sd15")
        encode = clip.cond_stage_model.encode_token_weights
        clip.cond_stage_model.encode_token_weights = lambda tokens: (encoded.append(tokens), encode(tokens))[1]
        return clip

    class Keep:
        RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "keep", True

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"name": ("STRING", {})}, "optional": {"value": ("*", {})}}

        @classmethod
        def VALIDATE_INPUTS(cls, input_types):
            return True

        def keep(self, name, value=None):
            kept[name] = value
            return {"ui": {"kept": [name]}}

    mappings = run_graph.host.nodes.NODE_CLASS_MAPPINGS
    for node in (
        loader("TinyClip", counting_clip, "CLIP"),
        loader("TinyModel", lambda: tiny_model("sd15"), "MODEL"),
        loader("TinyFlow", lambda: tiny_model("sd15", "FLOW"), "MODEL"),
        loader("TinyControlNet", tiny_control_net, "CONTROL_NET"),
        loader("TinyPose", lambda: torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(4)), "IMAGE"),
        Keep,
    ):
        monkeypatch.setitem(mappings, node.__name__, node)
    return SimpleNamespace(run=run_graph, kept=kept, encoded=encoded)
