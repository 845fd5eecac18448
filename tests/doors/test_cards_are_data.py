"""The cards (metadata) of the pack's own kinds of network files: whatever stands there, a file loads or is refused in
one sentence, and nothing is built that its tensors do not fill."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "studio" / "weights"
VALUES = [
    "x", -3, 2.5, 10**9, 1e300, 10**400, True, None, [], {}, [None], [10**9] * 5, ["x"] * 4, {"a": [1]},
    [[0.1, "x", 3]], "a" * 100_000,
]  # fmt: skip
TEXTS = ["[]", "{", "null", "3", '"text"', '{"a": NaN}', "[" * 10_000, '{"a":' * 3_000 + "1" + "}" * 3_000]


def _tryon(path):
    from atelier.host.tryon import load_tryon, tryon_defaults

    tryon_defaults.read(str(path))
    vae = load_tryon.model_file.read(WEIGHTS / "autoencoder.safetensors")[0]
    load_tryon.load(str(path), load_tryon.model_file.vae_of(vae, None, path.name, 32, "try-on model", ""))


def _designer(path):
    from atelier.host.design import load_designer

    parts = [path, *(WEIGHTS / f"{part}.safetensors" for part in ("designer", "text_encoder", "pose_controlnet"))]
    load_designer.load([file for file in parts if file == path or file.name != path.name])


def _generator(path):
    from atelier.host.design import ideation_source

    ideation_source.load_source(str(path))


def _body(path):
    from atelier.models.studio.body_network import load_network

    load_network(path)


def _classifier(path):
    from atelier.models.studio.attribute_classifier import load_classifier

    load_classifier(path)


def _wardrobe(path):
    from atelier.host.wardrobe.studio_encoder import StudioEncoder

    StudioEncoder(path)


LOADERS = {
    "tryon": _tryon, "designer": _designer, "text_encoder": _designer, "pose_controlnet": _designer,
    "generator": _generator, "body": _body, "attribute_classifier": _classifier, "wardrobe": _wardrobe,
}  # fmt: skip
NAMES = {  # what a card of each kind may say beyond what the shipped one does
    "tryon": {"heads": 4, "latent_rgb_factors": [[0.1] * 3] * 32, "latent_rgb_factors_bias": [0.0] * 3,
              "trained_betas": [0.1, 0.2], "num_train_timesteps": 1000, "steps_offset": 1, "clip_sample": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def shipped():
    """shipped(kind) -> (card, tensors) of the pack's own file."""

    def read(kind):
        with safe_open(str(WEIGHTS / f"{kind}.safetensors"), "pt") as file:
            card = json.loads(file.metadata()["atelier"]) | NAMES.get(kind, {})
            return card, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping

    return read


@pytest.fixture(autouse=True)
def _nothing_large(monkeypatch):
    """Refuse to allocate what no shipped network needs: a card that was believed would show here."""
    make = torch.empty

    def bounded(*size, device=None, **more):
        shape = size[0] if size and isinstance(size[0], (tuple, list, torch.Size)) else size
        count = 1
        for side in shape:
            count *= int(side)
        assert count < 200_000_000 or str(device) == "meta", f"allocates {shape}"
        return make(*size, device=device, **more)

    monkeypatch.setattr(torch, "empty", bounded)


def entries(card, way=()):
    """Every entry of a card, those of its objects included."""
    for key, value in card.items():
        yield (*way, key)
        if isinstance(value, dict) and len(value) < 40:
            yield from entries(value, (*way, key))


def written(folder, kind, text, tensors):
    path = folder / f"{kind}.safetensors"
    save_file(tensors, str(path), {"atelier": text})
    return path


def loads_or_says(load, path):
    try:
        load(path)
    except ValueError as problem:
        about = (path.name, "metadata", "try-on", "designer's UNet", "text encoder", "pose ControlNet")
        assert any(name in str(problem) for name in about), str(problem)
        assert "\n" not in str(problem) and len(str(problem)) < 700
        return str(problem)
    return None


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.slow
def test_any_value_in_a_card_loads_or_is_a_sentence(host, shipped, tmp_path, kind):
    card, tensors = shipped(kind)
    refused = 0
    for number, way in enumerate(entries(card)):
        for value in (VALUES[number % len(VALUES)], VALUES[(7 * number + 3) % len(VALUES)]):
            changed = json.loads(json.dumps(card))
            place = changed
            for key in way[:-1]:
                place = place[key]
            place[way[-1]] = value
            refused += loads_or_says(LOADERS[kind], written(tmp_path, kind, json.dumps(changed), tensors)) is not None
    assert refused


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_card_that_is_no_object_is_a_sentence(host, shipped, tmp_path, kind, text):
    path = written(tmp_path, kind, text, shipped(kind)[1])
    with pytest.raises(ValueError, match="metadata") as problem:
        LOADERS[kind](path)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("change, named", [
    ({"trained": {"steps": 10**9}}, "steps"), ({"trained": {"steps": 2.5}}, "steps"),
    ({"trained": {"steps": "x"}}, "steps"),
    ({"trained": {"person": [20_000, 20_000]}}, "person"), ({"num_train_timesteps": 10**9}, "num_train_timesteps"),
    ({"trained": {"cfg": -1}}, "cfg"), ({"heads": 10**6}, "heads"), ({"latent_scale": 0}, "latent_scale"),
])  # fmt: skip
def test_a_strangers_try_on_card_is_not_believed(host, shipped, tmp_path, change, named):
    card, tensors = shipped("tryon")
    path = written(tmp_path, "tryon", json.dumps(card | change), tensors)
    with pytest.raises(ValueError, match=named):
        _tryon(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_the_shipped_cards_load(host, shipped, tmp_path, kind):
    """The control: the same files, unchanged."""
    card, tensors = shipped(kind)
    assert loads_or_says(partial(LOADERS[kind]), written(tmp_path, kind, json.dumps(card), tensors)) is None
