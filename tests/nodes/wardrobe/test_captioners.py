"""Captioners of every family from a local folder: tiny random weights in transformers' own layouts, the real load path,
and transformers' own generation from the same folder as the oracle."""

import json

import pytest
import torch
from atelier.tests.nodes.wardrobe.captioner_families import CLASSES

LONGEST = 12
ASK = {
    "short": "Short description.",
    "professional": "Write a detail and professional description for the cloth.",
    "detailed": "Describe the cloth's style, color, design... and other key points.",
}
PRESENT = " Say only what is there, nothing that is missing."
CHANGE = ("Please generate a new caption to describe the clothing based on the given image and the Update Guidance: "
          "longer sleeves Caption:")  # fmt: skip
TASKS = {"short": "<CAPTION>", "professional": "<DETAILED_CAPTION>", "detailed": "<MORE_DETAILED_CAPTION>"}
CHAT = [kind for kind in CLASSES if kind != "florence2"]


def stock(folder, kind, picture, asked, dtype=torch.float32):
    """What transformers itself writes."""
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = getattr(transformers, CLASSES[kind]).from_pretrained(folder, dtype=dtype).eval()
    if kind == "florence2":
        inputs = processor(images=picture, text=asked, return_tensors="pt")
    else:
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": asked}]}]
        inputs = processor(text=[processor.apply_chat_template(chat, add_generation_prompt=True)], images=[picture],
                           return_tensors="pt")  # fmt: skip
    inputs = inputs.to(dtype)
    start = 0 if kind == "florence2" else inputs["input_ids"].shape[1]
    with torch.no_grad():
        ids = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=LONGEST)[:, start:]
    return " ".join(processor.batch_decode(ids, skip_special_tokens=True)[0].split())


@pytest.mark.parametrize("kind", CLASSES)
def test_every_family_writes_in_the_host_what_transformers_writes(run_graph, captioner_folders, picture, kind):
    folder = captioner_folders(kind)
    graph = {
        "load": {"class_type": "AtelierLoadCaptioner", "inputs": {"captioner": folder.name}},
        "picture": {"class_type": "LoadImage", "inputs": {"image": "captioned.png"}},
    }
    for style in ASK:
        graph[style] = {"class_type": "AtelierGarmentCaption", "inputs": {
            "image": ["picture", 0], "style": style, "captioner": ["load", 0], "longest": LONGEST}}  # fmt: skip
        graph[f"show {style}"] = {"class_type": "PreviewAny", "inputs": {"source": [style, 0]}}
    outputs = run_graph(graph).outputs
    written = {style: outputs[f"show {style}"]["text"][0] for style in ASK}
    asked = TASKS if kind == "florence2" else {style: text + PRESENT for style, text in ASK.items()}
    assert written == {style: stock(folder, kind, picture.pixels, text) for style, text in asked.items()}
    assert all(isinstance(text, str) and text for text in written.values())
    assert len(set(written.values())) == 3, "every style asks something else"


def network(captioner):
    return captioner._network.patcher.model[0]


@pytest.mark.parametrize("kind", CLASSES)
def test_the_families_own_class_under_the_hosts_memory_management(captioner_folders, picture, kind):
    import comfy.model_management as management
    from atelier.host.wardrobe.captioner import Captioner

    captioner = Captioner(str(captioner_folders(kind)))
    assert type(network(captioner)).__name__ == CLASSES[kind] and captioner.kind == kind
    loaded = lambda: any(one.model is captioner._network.patcher for one in management.current_loaded_models)  # noqa: E731
    assert not loaded(), "made room for only when it writes"
    first = captioner.write(picture.tensor, "short", longest=LONGEST)
    assert loaded()
    management.unload_all_models()
    assert not loaded()
    # Two pictures are two captions, and a caption belongs to its picture.
    both = captioner.write(torch.cat([picture.tensor, 1 - picture.tensor]), "short", longest=LONGEST)
    assert both[0] == first[0] and len(both) == 2 and both[1] != both[0]


@pytest.mark.parametrize("kind", CHAT)
def test_chat_models_are_given_the_words_and_the_change(captioner_folders, picture, kind):
    from atelier.host.wardrobe.captioner import Captioner

    captioner = Captioner(str(captioner_folders(kind)))
    choose = f"{ASK['short']} Choose from these words where they fit: navy, linen.{PRESENT}"
    (chosen,) = captioner.write(picture.tensor, "short", words=" navy  linen ", longest=LONGEST)
    (changed,) = captioner.write(picture.tensor, "short", change="longer sleeves", longest=LONGEST)
    assert chosen == stock(captioner_folders(kind), kind, picture.pixels, choose)
    assert changed == stock(captioner_folders(kind), kind, picture.pixels, CHANGE)
    assert len({chosen, changed, *captioner.write(picture.tensor, "short", longest=LONGEST)}) == 3


def test_florence_refuses_what_it_cannot_do(captioner_folders, picture):
    from atelier.host.wardrobe.captioner import Captioner

    captioner = Captioner(str(captioner_folders("florence2")))
    with pytest.raises(ValueError, match="tiny-florence2 cannot follow a wished change"):
        captioner.write(picture.tensor, "short", change="longer sleeves")
    with pytest.raises(ValueError, match="tiny-florence2 cannot choose from given words"):
        captioner.write(picture.tensor, "short", words="navy linen")


def test_words_and_change_are_refused_where_nobody_takes_them(host, picture):
    from atelier.nodes.describe import GarmentCaption

    with pytest.raises(ValueError, match="Only a captioner takes 'words' and 'change'"):
        GarmentCaption().execute(picture.tensor, "short", caption="a red dress", words="navy")
    assert GarmentCaption().execute(picture.tensor, "short", caption="a red dress")["result"][1] == "red dress"


def test_large_pictures_are_scaled_down_for_chat_models(captioner_folders, monkeypatch):
    from atelier.host.wardrobe.captioner import LONGEST_SIDE, Captioner

    captioner, seen = Captioner(str(captioner_folders("qwen2_vl"))), []
    images = captioner.processor.image_processor
    original = type(images).preprocess
    monkeypatch.setattr(type(images), "preprocess", lambda self, images, *a, **k: (
        seen.append(images[0].size), original(self, images, *a, **k))[1])  # fmt: skip
    captioner.write(torch.rand(1, 1200, 2 * LONGEST_SIDE, 3), "short", longest=1)
    captioner.write(torch.rand(1, 30, 40, 3), "short", longest=1)
    assert seen == [(LONGEST_SIDE, 600), (40, 30)]


@pytest.mark.parametrize("kind", ["qwen2_vl", "idefics3"])
def test_half_precision_is_transformers_own(captioner_folders, picture, kind, monkeypatch):
    """Where the device takes bfloat16 a model made in it is loaded in it; the tables of positions stay at float32."""
    import comfy.model_management as management
    from atelier.host.wardrobe.captioner import Captioner

    folder = captioner_folders(kind)
    assert network(Captioner(str(folder))).dtype == torch.float32, "the CPU's own precision"
    config = json.loads((folder / "config.json").read_text())
    made_in = dict(config, dtype="bfloat16")
    monkeypatch.setattr(management, "should_use_bf16", lambda device: True)
    try:
        (folder / "config.json").write_text(json.dumps(made_in))
        captioner = Captioner(str(folder))
    finally:
        (folder / "config.json").write_text(json.dumps(config))
    assert network(captioner).dtype == torch.bfloat16
    positions = [value for name, value in network(captioner).named_buffers() if name.endswith("inv_freq")]
    assert positions and all(value.dtype == torch.float32 for value in positions)
    asked = ASK["professional"] + PRESENT
    (text,) = captioner.write(picture.tensor, "professional", longest=LONGEST)
    assert text == stock(folder, kind, picture.pixels, asked, torch.bfloat16)
