"""The try-on nodes on the real host, with a tiny random FastFit network: wiring, caching, exactness, refusals."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

TRAINED = {"person": [64, 64], "garment": [32, 48], "whole": False, "steps": 2, "cfg": 1.5}


def tiny_weights(seed: int, widths=(32, 64)) -> dict[str, torch.Tensor]:
    """Every tensor of a FastFit UNet, filled so that the network is lively and finite."""
    from atelier.models.fastfit import keys

    shape = keys.Architecture(
        widths=widths, layers=1, depths=(1, 1), middle_depth=1, in_channels=9, out_channels=4, latent_channels=4,
        classes=5, linear_projection=False, heads=4,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, size in keys.expected_shapes(shape).items():
        noise = torch.randn(size, generator=generator)
        norm = ".norm" in name or "norm_out" in name
        if norm and name.endswith("weight"):
            state[name] = 1 + 0.2 * noise
        else:
            state[name] = noise * (0.1 if len(size) == 1 else 1.2 * noise[0].numel() ** -0.5)
    state["class_embedding.weight"] = torch.randn(5, 4 * widths[0], generator=generator)
    return state


def tiny_autoencoder(seed: int) -> dict[str, torch.Tensor]:
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    kind = "DownEncoderBlock2D", "UpDecoderBlock2D"
    vae = AutoencoderKL(
        down_block_types=(kind[0],) * 4, up_block_types=(kind[1],) * 4, block_out_channels=(32,) * 4, layers_per_block=1,
        latent_channels=4,
    )  # fmt: skip
    return vae.state_dict()


@pytest.fixture(scope="module")
def studio(executor_host):
    """tiny.safetensors in the try-on folder, pictures in the input folder, and a node that keeps what it is given."""
    from safetensors.torch import save_file

    from atelier.host import folders

    host = executor_host.host
    folder = host.base / "models" / "atelier" / "tryon"
    assert str(folder) in [str(path) for path in folders.paths("tryon")]
    folder.mkdir(parents=True, exist_ok=True)
    vae = {f"first_stage_model.{name}": value for name, value in tiny_autoencoder(3).items()}
    metadata = {"format": "fastfit", "heads": 4, "trained": TRAINED}
    save_file({**tiny_weights(1), **vae}, str(folder / "tiny.safetensors"), {"atelier": json.dumps(metadata)})
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
    yield SimpleNamespace(host=host, kept=Keep.kept, mask=mask, folder=folder)
    del host.nodes.NODE_CLASS_MAPPINGS["TestKeep"]


@pytest.fixture
def loaded(studio):
    from atelier.host import load_tryon, tryon_defaults

    path = load_tryon.resolve("tiny.safetensors")
    model, vae = load_tryon.load(path)
    tryon_defaults.attach(model, tryon_defaults.read(path))
    return SimpleNamespace(model=model, vae=vae)


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


DRESS = {"framing": "as trained", "size": "as trained", "width": 768, "height": 1024, "padding": 0.05, "grow": 0, "feather": 3}


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
        "encode": node("AtelierEncodeGarments", model=["load", 0], vae=["load", 1], outfit=[f"garment{len(garments) - 1}", 0], for_guidance=True),
        "dress": node("AtelierDress", model=["load", 0], vae=["load", 1], person=["person", 0], mask=["mask", 0], garments=["encode", 0], **DRESS),
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
        from atelier.host import garment_kv

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


@pytest.mark.parametrize("sampler", ["euler", "published"])
def test_try_on_is_the_long_graph(studio, run_graph, sampler):
    graph = long_graph()
    if sampler == "published":
        graph["sampler"], graph["schedule"] = node("AtelierPublishedSampler"), node("AtelierPublishedSchedule", model=["load", 0], steps=2)
        graph["sample"] = node(
            "SamplerCustom", model=["load", 0], add_noise=True, noise_seed=5, cfg=1.5, positive=["dress", 0], negative=["dress", 1],
            sampler=["sampler", 0], sigmas=["schedule", 0], latent_image=["dress", 2],
        )  # fmt: skip
    graph["load"]["inputs"]["weights"] = "host's choice"
    long = result(studio, run_graph, graph)
    short = {key: entry for key, entry in graph.items() if key in ("person", "mask", "picture0", "picture1", "garment0", "garment1")}
    short["try"] = node(
        "AtelierTryOn", person=["person", 0], outfit=["garment1", 0], mask=["mask", 0], model_name="tiny.safetensors", seed=5,
        steps=0, cfg=0.0, sampler_name=sampler, scheduler="normal", seam_colour=0.0, **DRESS,
    )  # fmt: skip
    short["keep"] = node("TestKeep", value=["try", 0])
    assert torch.equal(long, result(studio, run_graph, short))
    short["try"]["inputs"]["seed"] = 6
    assert not torch.equal(long, result(studio, run_graph, short))


def test_try_on_reads_no_garment_again(studio, run_graph, monkeypatch):
    count = Counter(monkeypatch)
    graph = long_graph()
    short = {key: entry for key, entry in graph.items() if key in ("person", "mask", "picture0", "picture1", "garment0", "garment1")}
    short["try"] = node(
        "AtelierTryOn", person=["person", 0], outfit=["garment1", 0], mask=["mask", 0], model_name="tiny.safetensors", seed=5,
        steps=1, cfg=1.0, sampler_name="euler", scheduler="normal", seam_colour=0.0, **DRESS,
    )  # fmt: skip
    short["keep"] = node("TestKeep", value=["try", 0])
    result(studio, run_graph, short)
    assert count.new() == [0, 1]  # cfg 1: nothing for guidance
    short["try"]["inputs"]["seed"] = 6
    result(studio, run_graph, short)
    assert count.new() == []
    short["picture1"]["inputs"]["image"] = "coat.png"
    result(studio, run_graph, short)
    assert count.new() == [1]


def photo(height=117, width=90, rows=1, seed=0):
    return torch.rand(rows, height, width, 3, generator=torch.Generator().manual_seed(seed))


def marked(height=117, width=90, *boxes):
    mask = torch.zeros(max(1, len(boxes)), height, width)
    for row, (left, top, right, bottom) in zip(mask, boxes or [(20, 30, 70, 90)]):
        row[top:bottom, left:right] = 1
    return mask


def outfit_kv(loaded, *pictures_and_categories):
    from atelier.nodes.tryon import Garment
    from atelier.nodes.tryon_graph import combine, encode_part

    parts = []
    for picture, category in pictures_and_categories:
        (outfit,) = Garment().execute(picture, category, "pad", 0, 0)
        parts.append(encode_part(loaded.model, loaded.vae, outfit.garments[0]))
    return combine(parts, "together")


def dress_up(loaded, person, mask, kv=None, pose=None, seed=3, cfg=1.5, steps=2, noise=None, **changes):
    """Dress, sample with the host's own loop, decode, composite; returns the picture and what Dress gave."""
    import comfy.sample

    from atelier.nodes.tryon import Composite, Dress

    dressed = Dress().execute(loaded.model, loaded.vae, person, mask, **{**DRESS, **changes}, garments=kv, pose=pose)
    positive, negative, latent, stitch, _ = dressed
    start = latent["samples"]
    if noise is None:
        noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))
    samples = comfy.sample.sample(
        loaded.model, noise, steps, cfg, "euler", "normal", positive, negative, start, denoise=1.0, seed=seed, disable_pbar=True
    )
    (image,) = Composite().execute(stitch, loaded.vae.decode(samples), 0.0)
    return image, dressed


@torch.no_grad()
def test_a_batch_of_two_is_two_singles(loaded):
    people, masks = photo(rows=2), marked(117, 90, (20, 30, 70, 90), (5, 10, 60, 60))
    pose = photo(rows=2, seed=9)
    kv = outfit_kv(loaded, (photo(40, 30, seed=4), "upper"))
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    both, _ = dress_up(loaded, people, masks, kv, pose, noise=noise)
    for row in range(2):
        one = slice(row, row + 1)
        single, _ = dress_up(loaded, people[one], masks[one], kv, pose[one], noise=noise[one])
        assert (both[one] - single).abs().max() < 1e-4
    assert (both[0] - both[1]).abs().max() > 0.1


@torch.no_grad()
def test_each_person_may_wear_another_outfit(loaded):
    from atelier.nodes.tryon_graph import combine

    people, mask = photo(rows=1).repeat(2, 1, 1, 1), marked()
    kvs = [outfit_kv(loaded, (photo(40, 30, seed=seed), "upper")) for seed in (4, 5)]
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).repeat(2, 1, 1, 1)
    both, _ = dress_up(loaded, people, mask, combine(kvs, "one outfit a person"), noise=noise)
    for row, kv in enumerate(kvs):
        single, _ = dress_up(loaded, people[:1], mask, kv, noise=noise[:1])
        assert (both[row : row + 1] - single).abs().max() < 1e-4
    assert (both[0] - both[1]).abs().max() > 0.01
    # The same from one Garment node with a picture for each person.
    pictures = torch.cat([photo(40, 30, seed=4), photo(40, 30, seed=5)])
    again, _ = dress_up(loaded, people, mask, outfit_kv(loaded, (pictures, "upper")), noise=noise)
    assert torch.equal(both, again)


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width", "changes"),
    [
        (117, 90, {"size": "keep"}),
        (117, 90, {"size": "keep", "framing": "whole picture"}),
        (53, 211, {"size": "custom", "width": 72, "height": 104}),
        (64, 64, {"size": "custom", "width": 65, "height": 200, "framing": "whole picture"}),
        (131, 83, {"feather": 0, "grow": 7}),
        (200, 300, {"padding": 0.4, "feather": 12}),
    ],
)
def test_any_size(loaded, height, width, changes):
    person, mask = photo(height, width), marked(height, width, (width // 4, 9, width // 2, height - 20))
    image, (_, _, latent, stitch, crop) = dress_up(loaded, person, mask, **changes)
    assert image.shape == person.shape and torch.isfinite(image).all()
    assert latent["samples"].shape[2:] == (crop.shape[1] // 8, crop.shape[2] // 8)
    outside = stitch.mask == 0
    assert torch.equal(image[outside], person[outside])
    assert (stitch.mask > 0).sum() >= mask.sum() and not torch.equal(image[~outside], person[~outside])


@torch.no_grad()
def test_what_the_model_sees_is_the_published_blend(loaded):
    """person * (1 - mask) + mask * pose with the person in [-1,1] and the pose in [0,1]; mask by the top-left pixel."""
    person, pose, mask = photo(96, 80), photo(96, 80, seed=1), marked(96, 80, (13, 21, 60, 70))
    options = {"size": "keep", "framing": "whole picture"}
    _, (positive, negative, _, _, sees) = dress_up(loaded, person, mask, pose=pose, **options)
    published = (person * 2 - 1) * (1 - mask[..., None]) + mask[..., None] * pose
    assert (sees * 2 - 1 - published).abs().max() < 1e-6
    _, (_, _, _, _, grey) = dress_up(loaded, person, mask, **options)
    assert (grey[mask > 0] == 0.5).all()
    (_, given), (_, other) = positive[0], negative[0]
    assert torch.equal(given["concat_mask"], mask[:, None, ::8, ::8]) and torch.equal(other["concat_mask"], given["concat_mask"])
    assert torch.equal(given["concat_latent_image"], loaded.vae.encode(sees))


@torch.no_grad()
def test_a_pose_is_cropped_with_the_person(loaded):
    """Keypoints and their drawing, of the whole picture, land on the same pixels of the crop."""
    from atelier.craft.pose_drawing import draw_pose
    from atelier.nodes.tryon import Dress

    points = np.zeros((18, 3), np.float32)
    points[1], points[8], points[2] = (90, 120, 1), (95, 300, 1), (60, 130, 1)
    keypoints = [{"people": [{"pose_keypoints_2d": points.ravel().tolist()}], "canvas_width": 300, "canvas_height": 400}]
    drawn = torch.from_numpy(draw_pose(points, 300, 400, 4 * 300 / 512)).float()[None] / 255
    person, mask = photo(400, 300), marked(400, 300, (40, 80, 140, 330))
    options = {**DRESS, "size": "custom", "width": 192, "height": 256}
    sees = [Dress().execute(loaded.model, loaded.vae, person, mask, **options, pose=pose)[4] for pose in (keypoints, drawn)]
    lines = [(s - Dress().execute(loaded.model, loaded.vae, person, mask, **options)[4]).abs().amax(-1) > 0.15 for s in sees]
    assert lines[0].sum() > 300
    assert (lines[0] & lines[1]).sum() > 0.75 * (lines[0] | lines[1]).sum()


@torch.no_grad()
def test_without_garments_it_is_the_plain_network(loaded):
    with_none, _ = dress_up(loaded, photo(), marked(), None)
    from atelier.host.garment_kv import GarmentKV

    assert torch.equal(with_none, dress_up(loaded, photo(), marked(), GarmentKV())[0])
    dressed, _ = dress_up(loaded, photo(), marked(), outfit_kv(loaded, (photo(40, 30, seed=4), "upper")))
    assert (with_none - dressed).abs().max() > 0.01


def bad(picture, value):
    picture = picture.clone()
    picture[0, 3, 3, 0] = value
    return picture


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mask": torch.zeros(1, 117, 90)}, "mask is empty"),
        ({"mask": torch.full((1, 117, 90), 0.01)}, "mask is empty"),
        ({"mask": torch.ones(1, 64, 64)}, "mask is 64x64 pixels, the picture 90x117"),
        ({"mask": torch.ones(3, 117, 90)}, "1 pictures came with 3 masks"),
        ({"mask": torch.full((1, 117, 90), float("nan"))}, "mask holds NaN"),
        ({"person": bad(photo(), float("nan"))}, "person holds NaN"),
        ({"person": photo()[:, :0]}, "person is empty"),
        ({"person": photo()[..., :1]}, "person has 1 channels, 3 expected"),
        ({"person": torch.rand(1, 117, 90, 4)}, "person has 4 channels, 3 expected"),
        ({"pose": photo(rows=3)}, "1 people came with 3 pose pictures"),
        ({"pose": bad(photo(), float("inf"))}, "pose holds NaN"),
    ],
)
def test_dress_refuses(loaded, changes, sentence):
    from atelier.nodes.tryon import Dress

    inputs = {"person": photo(), "mask": marked(), **changes}
    with pytest.raises(ValueError, match=sentence):
        Dress().execute(loaded.model, loaded.vae, **inputs, **DRESS)


@torch.no_grad()
def test_dress_refuses_what_does_not_belong_together(loaded, tiny):
    from dataclasses import replace

    from atelier.host.garment_kv import GarmentKV
    from atelier.nodes.tryon import Dress
    from atelier.nodes.tryon_graph import combine

    kv = outfit_kv(loaded, (photo(40, 30), "upper"))
    foreign = GarmentKV(((replace(kv.outfits[0][0], scale=1.0),),))
    wide = GarmentKV(((replace(kv.outfits[0][0], latent=torch.zeros(1, 16, 6, 4)),),))
    for garments, sentence in (
        (foreign, "encoded for latents of 4 channels at scale 1.0"),
        (wide, "encoded for latents of 16 channels"),
        (combine([kv, kv, kv], "one outfit a person"), "2 people came with 3 outfits"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Dress().execute(loaded.model, loaded.vae, photo(rows=2), marked(), **DRESS, garments=garments)
    with pytest.raises(ValueError, match="not a try-on model"):
        Dress().execute(tiny.unet(), loaded.vae, photo(), marked(), **DRESS)


def test_garment_refuses_and_whitens():
    from atelier.nodes.tryon import Garment

    picture, mask = photo(40, 30), torch.zeros(1, 40, 30)
    with pytest.raises(ValueError, match="leaves nothing of the garment"):
        Garment().execute(picture, "upper", "pad", 0, 0, mask=mask)
    with pytest.raises(ValueError, match="garment has 2 channels, 3 or 4 expected"):
        Garment().execute(picture[..., :2], "upper", "pad", 0, 0)
    with pytest.raises(ValueError, match="garment holds NaN"):
        Garment().execute(bad(picture, float("nan")), "upper", "pad", 0, 0)
    mask[:, 10:20, 5:25] = 1
    (outfit,) = Garment().execute(picture, "upper", "pad", 0, 0, mask=mask)
    (inverted,) = Garment().execute(picture, "upper", "pad", 0, 0, mask=1 - mask, mask_marks="background")
    (alpha,) = Garment().execute(torch.cat([picture, mask[..., None]], -1), "upper", "pad", 0, 0)
    whitened = outfit.garments[0].picture
    assert (whitened[mask == 0] == 1).all() and torch.equal(whitened[mask == 1], picture[mask == 1])
    assert outfit.garments[0].content == inverted.garments[0].content == alpha.garments[0].content
    nothing = torch.zeros(1, 64, 64)  # Load Image's mask of a file without transparency
    (plain,) = Garment().execute(picture, "upper", "pad", 0, 0, mask=nothing, mask_marks="background")
    assert torch.equal(plain.garments[0].picture, picture)
    (two,) = Garment().execute(picture, "lower", "pad", 0, 0, outfit=plain)
    assert [g.category for g in two.garments] == ["upper", "lower"] and len(plain.garments) == 1


def test_try_on_refuses_in_a_sentence(studio):
    from atelier.nodes.tryon import TryOn

    inputs = {"person": ["1", 0], "outfit": ["2", 0], "model_name": "tiny.safetensors", "steps": 0, "cfg": 0.0}
    for more, sentence in (
        ({}, "Try On has no mask"),
        ({"mask": ["3", 0], "model": ["4", 0]}, "model and vae together"),
        ({"mask": ["3", 0], "model": ["4", 0], "vae": ["4", 1]}, "set steps and cfg"),
    ):
        with pytest.raises(ValueError, match=sentence):
            TryOn().execute(**inputs, **more)


def test_compare_shows_what_changed(studio):
    from atelier.nodes.tryon import Compare

    before, after = photo(40, 30), photo(40, 30)
    after[0, 10:20, 10:20] = 1 - after[0, 10:20, 10:20]
    shown = Compare().execute(before, after, "difference", 0.5)
    (image,) = shown["result"]
    assert image[0, :10].max() == 0 and image[0, 10:20, 10:20].mean() > 0.5
    (entry,) = shown["ui"]["images"]
    saved = Image.open(studio.host.base / "temp" / entry["subfolder"] / entry["filename"])
    assert entry["type"] == "temp" and saved.size == (30, 40)
    with pytest.raises(ValueError, match="cannot be paired"):
        Compare().execute(photo(rows=2), photo(rows=3), "split", 0.5)


def test_eight_garments_and_more(studio, run_graph):
    pictures = ["top", "skirt", "coat"]
    garments = [(pictures[i % 3], ("upper", "lower", "dress", "shoes", "bag")[i % 5]) for i in range(9)]
    run = result(studio, run_graph, long_graph(garments=garments))
    assert torch.isfinite(run).all()
    nine = run_graph(long_graph(garments=garments[:8]))
    assert any(text.startswith("8 garments") for o in nine.outputs.values() for text in o.get("text", ()))
