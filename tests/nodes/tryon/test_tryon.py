"""The try-on nodes in whole graphs through the host's executor, with a tiny random FastFit network."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="module")
def studio(executor_host, tryon_folder):
    """Pictures in the input folder, and a node that keeps what it is given."""
    host = executor_host.host
    rng = np.random.default_rng(0)
    for name, (width, height) in {"person": (90, 117), "top": (40, 50), "skirt": (60, 44), "coat": (32, 48)}.items():
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(host.base / "input" / f"{name}.png")
    mask = np.zeros((117, 90), np.uint8)
    mask[30:90, 20:70] = 255
    Image.fromarray(np.stack([mask] * 3, -1)).save(host.base / "input" / "mask.png")

    class Keep:
        RETURN_TYPES, OUTPUT_NODE, FUNCTION, CATEGORY = (), True, "execute", "test"
        kept: list = []

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"value": ("*", {"tooltip": "anything"})}}

        @classmethod
        def VALIDATE_INPUTS(cls, input_types):
            return True

        def execute(self, value):
            self.kept.append(value)
            return {"ui": {}}

    host.nodes.NODE_CLASS_MAPPINGS["TestKeep"] = Keep
    yield SimpleNamespace(host=host, kept=Keep.kept, mask=mask)
    del host.nodes.NODE_CLASS_MAPPINGS["TestKeep"]


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


DRESS = {
    "framing": "as trained",
    "size": "as trained",
    "width": 768,
    "height": 1024,
    "padding": 0.05,
    "grow": 0,
    "feather": 3,
}


def long_graph(seed=5, garments=(("top", "upper"), ("skirt", "lower")), person="person.png", steps=2, cfg=1.5):
    graph = {
        "load": node("AtelierLoadTryOnModel", model_name="tiny.safetensors", weights="fp32"),
        "person": node("LoadImage", image=person),
        "mask": node("LoadImageMask", image="mask.png", channel="red"),
    }
    for index, (name, category) in enumerate(garments):
        graph[f"picture{index}"] = node("LoadImage", image=f"{name}.png")
        before = {"outfit": [f"garment{index - 1}", 0]} if index else {}
        graph[f"garment{index}"] = node(
            "AtelierGarment", image=[f"picture{index}", 0], category=category, fit="pad", width=0, height=0,
            mask_marks="garment", **before,
        )  # fmt: skip
    graph |= {
        "encode": node(
            "AtelierEncodeGarments", model=["load", 0], vae=["load", 1], outfit=[f"garment{len(garments) - 1}", 0],
            for_guidance=True,
        ),
        "dress": node(
            "AtelierDress", model=["load", 0], vae=["load", 1], person=["person", 0], mask=["mask", 0],
            garments=["encode", 0], **DRESS,
        ),
        "sample": node(
            "KSampler", model=["load", 0], seed=seed, steps=steps, cfg=cfg, sampler_name="euler", scheduler="normal",
            positive=["dress", 0], negative=["dress", 1], latent_image=["dress", 2], denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["load", 1]),
        "composite": node("AtelierComposite", stitch=["dress", 3], image=["decode", 0], seam_colour=0.0),
        "keep": node("TestKeep", value=["composite", 0]),
    }  # fmt: skip
    return graph


def result(studio, run_graph, graph) -> torch.Tensor:
    studio.kept.clear()
    run_graph(graph)
    (image,) = studio.kept
    return image


class Counter:
    """Counts reference passes by wrapping the one function that makes them."""

    def __init__(self, monkeypatch):
        from atelier.host.tryon import garment_kv

        self.categories, stock = [], garment_kv.encode_latent

        def counted(model, latent, category):
            self.categories.append(category)
            return stock(model, latent, category)

        monkeypatch.setattr(garment_kv, "encode_latent", counted)

    def new(self) -> list:
        found, self.categories = self.categories, []
        return sorted(found)


def test_a_whole_run_changes_the_mask_and_nothing_else(studio, run_graph):
    graph = long_graph()
    after = result(studio, run_graph, graph)
    before = np.asarray(Image.open(studio.host.base / "input" / "person.png"))
    pixels = (after[0] * 255).round().numpy().astype(np.uint8)
    changed = (pixels != before).any(-1)
    outside = studio.mask == 0
    assert not changed[outside].any()
    assert changed[~outside].mean() > 0.9  # the control: with the mask inverted this test would fail
    direct = torch.from_numpy(before.astype(np.float32) / 255)
    assert torch.equal(after[0][torch.from_numpy(outside)], direct[torch.from_numpy(outside)])


def test_the_host_keeps_what_did_not_change(studio, run_graph, monkeypatch):
    """Reference passes by category id: a garment, and one a category for guidance, whatever else changes."""
    count = Counter(monkeypatch)
    first = result(studio, run_graph, long_graph())
    assert count.new() == [0, 0, 1, 1]
    result(studio, run_graph, long_graph(seed=6))
    assert count.new() == []
    result(studio, run_graph, long_graph(garments=(("top", "upper"), ("coat", "lower"))))
    assert count.new() == [1]
    result(studio, run_graph, long_graph(garments=(("skirt", "upper"), ("coat", "lower"))))
    assert count.new() == [0]
    result(studio, run_graph, long_graph(garments=(("coat", "lower"), ("skirt", "upper"))))  # another order of wiring
    assert count.new() == []
    result(studio, run_graph, long_graph(garments=(("coat", "lower"),)))
    assert count.new() == []
    again = result(studio, run_graph, long_graph())
    assert torch.equal(first, again)


def test_the_size_is_shown(studio, run_graph):
    studio.kept.clear()
    run = run_graph(long_graph())
    texts = [output["text"][0] for output in run.outputs.values() if "text" in output]
    assert any(text.startswith("2 garments, ") and text.endswith("MiB of K,V") for text in texts), texts
    shown = [d for event, d in run.events if event == "executed" and d["output"] and "text" in d["output"]]
    assert not shown or {d["display_node"] for d in shown} == {"encode"}


def test_order_of_garments_changes_not_one_bit_but_garments_matter(studio, run_graph):
    garments = (("top", "upper"), ("skirt", "lower"), ("coat", "upper"))
    straight = result(studio, run_graph, long_graph(garments=garments))
    assert torch.equal(straight, result(studio, run_graph, long_graph(garments=garments[::-1])))
    other = result(studio, run_graph, long_graph(garments=garments[:2]))
    assert (straight - other).abs().max() > 0.01


def defaults(studio, node_id: str) -> dict:
    """The required widgets of a node at their defaults."""
    found = {}
    for name, spec in studio.host.nodes.NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()["required"].items():
        if isinstance(spec[0], list):
            found[name] = spec[1].get("default", spec[0][0])
        elif "default" in spec[1]:
            found[name] = spec[1]["default"]
    return found


def short_graph(**changes) -> dict:
    """The same as `long_graph` in one Try On node."""
    parts = ("person", "mask", "picture0", "picture1", "garment0", "garment1")
    graph = {key: entry for key, entry in long_graph().items() if key in parts}
    settings = {"seed": 5, "steps": 0, "cfg": 0.0, "sampler_name": "euler", "scheduler": "normal", "seam_colour": 0.0}
    links = {"person": ["person", 0], "outfit": ["garment1", 0], "mask": ["mask", 0]}
    inputs = {**links, **settings, **DRESS, "model_name": "tiny.safetensors", **changes}
    return {**graph, "try": node("AtelierTryOn", **inputs), "keep": node("TestKeep", value=["try", 0])}


@pytest.mark.parametrize("sampler", ["euler", "published"])
def test_try_on_is_the_long_graph(studio, run_graph, sampler):
    graph = long_graph()
    graph["load"]["inputs"]["weights"] = "host's choice"
    if sampler == "published":
        graph["sampler"] = node("AtelierPublishedSampler")
        graph["schedule"] = node("AtelierPublishedSchedule", model=["load", 0], steps=2)
        ends = {"positive": ["dress", 0], "negative": ["dress", 1], "latent_image": ["dress", 2]}
        run = {"sampler": ["sampler", 0], "sigmas": ["schedule", 0], "add_noise": True, "noise_seed": 5, "cfg": 1.5}
        graph["sample"] = node("SamplerCustom", model=["load", 0], **ends, **run)
    long = result(studio, run_graph, graph)
    assert torch.equal(long, result(studio, run_graph, short_graph(sampler_name=sampler)))
    assert not torch.equal(long, result(studio, run_graph, short_graph(sampler_name=sampler, seed=6)))


def test_try_on_reads_no_garment_again(studio, run_graph, monkeypatch):
    count = Counter(monkeypatch)
    graph = short_graph(steps=1, cfg=1.0)
    result(studio, run_graph, graph)
    assert count.new() == [0, 1]  # cfg 1: nothing for guidance
    graph["try"]["inputs"]["seed"] = 6
    result(studio, run_graph, graph)
    assert count.new() == []
    graph["picture1"]["inputs"]["image"] = "coat.png"
    result(studio, run_graph, graph)
    assert count.new() == [1]


def test_try_on_makes_its_own_mask(studio, run_graph):
    """Without a mask, the joints of a connected pose give the one that Agnostic Mask makes for this outfit."""
    graph = short_graph(person=["figure", 0], pose=["figure", 3], steps=1, cfg=1.0)
    graph["figure"] = node("AtelierCroquis", **{**defaults(studio, "AtelierCroquis"), "width": 96, "height": 128})
    graph["mask"] = node(
        "AtelierAgnosticMask",
        **{**defaults(studio, "AtelierAgnosticMask"), "from_outfit": True, "mode": "from the body"},
        **{"pose_keypoint": ["figure", 3], "image": ["figure", 0], "outfit": ["garment1", 0]},
    )
    by_hand = result(studio, run_graph, graph)
    del graph["mask"], graph["try"]["inputs"]["mask"]
    assert torch.equal(by_hand, result(studio, run_graph, graph))


def test_try_on_refuses_in_a_sentence(studio):
    from atelier.nodes.tryon import TryOn

    inputs = {"person": ["1", 0], "outfit": ["2", 0], "model_name": "tiny.safetensors", "steps": 0, "cfg": 0.0}
    for more, sentence in (
        ({"mask": ["3", 0], "model": ["4", 0]}, "model and vae together"),
        ({"mask": ["3", 0], "model": ["4", 0], "vae": ["4", 1]}, "set steps and cfg"),
    ):
        with pytest.raises(ValueError, match=sentence):
            TryOn().execute(**inputs, **more, prompt=None)


def test_eight_garments_and_more(studio, run_graph):
    pictures = ["top", "skirt", "coat"]
    garments = [(pictures[i % 3], ("upper", "lower", "dress", "shoes", "bag")[i % 5]) for i in range(9)]
    run = result(studio, run_graph, long_graph(garments=garments))
    assert torch.isfinite(run).all()
    nine = run_graph(long_graph(garments=garments[:8]))
    assert any(text.startswith("8 garments") for o in nine.outputs.values() for text in o.get("text", ()))
