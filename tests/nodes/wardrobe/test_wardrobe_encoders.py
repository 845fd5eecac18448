"""Encoders from local folders in their real layouts (tiny random weights), and what the wardrobe does with them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

OPEN_CLIP = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    },
}


@pytest.fixture(scope="session")
def open_clip_folder(host):
    import open_clip

    folder = host.base / "models" / "atelier" / "encoders" / "tiny-open-clip"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_image=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embedding" not in name:
                parameter.copy_(torch.randn_like(parameter) * 0.4)
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, str(folder / "open_clip_model.safetensors"))
    return folder


@pytest.fixture(scope="session")
def qformer_folder(host):
    """BLIP-2 retrieval in transformers' layout, and the same network in LAVIS's."""
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    torch.manual_seed(0)
    config = Blip2Config.from_dict({
        "image_token_index": None, "num_query_tokens": 4, "image_text_hidden_size": 8,
        "qformer_config": {"vocab_size": 30, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1,
                           "intermediate_size": 48, "max_position_embeddings": 80, "cross_attention_frequency": 2,
                           "encoder_hidden_size": 64, "use_qformer_text_input": True},
        "vision_config": {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1,
                          "image_size": 28, "patch_size": 14},
    })  # fmt: skip
    model = Blip2ForImageTextRetrieval(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = name.endswith("weight") and parameter.ndim == 1
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.ndim == 1 else 0.3) + float(norm))
    folder = host.base / "models" / "atelier" / "encoders" / "tiny-qformer"
    model.save_pretrained(folder)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "red",
        "blue",
        "dress",
        "shirt",
        "a",
        "with",
        "long",
        "sleeve",
    ]
    (folder / "vocab.txt").write_text("\n".join(words + [f"w{i}" for i in range(30 - len(words))]))
    return folder


def picture(seed, size=(40, 56)):
    return torch.rand(*size, 3, generator=torch.Generator().manual_seed(seed))


def test_open_clip_gives_what_the_library_gives(open_clip_folder):
    import open_clip
    from atelier.host.wardrobe.load_encoder import load_encoder

    encoder = load_encoder(str(open_clip_folder))
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{open_clip_folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{open_clip_folder}")
    pictures = [picture(1), picture(2, (70, 33))]
    with torch.no_grad():
        theirs = torch.stack([transform(Image.fromarray((p * 255).round().byte().numpy())) for p in pictures])
        images = model.eval().encode_image(theirs, normalize=True)
        words = model.encode_text(tokenizer(["a red dress", "boots"]), normalize=True)
    assert torch.allclose(encoder.encode_image(pictures), images, atol=1e-5)
    assert torch.allclose(encoder.encode_text(["a red dress", "boots"]), words, atol=1e-5)
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.exp()), rel=1e-5)
    assert encoder.dim == 16 and encoder.tokens == 1
    # Many pictures of one size as the host has them, and more than one batch.
    batch = torch.stack([picture(seed) for seed in range(20)])
    assert torch.allclose(encoder.encode_image(batch)[17], encoder.encode_image([picture(17)])[0], atol=1e-5)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(40, 60), (61, 33), (32, 32)])
def test_preparation_equals_open_clips(host, mode, size):
    from atelier.craft.picture.picture_preparation import Preparation
    from open_clip.transform import PreprocessCfg, image_transform_v2

    theirs = image_transform_v2(
        PreprocessCfg(size=32, resize_mode=mode, mean=(0.5,) * 3, std=(0.25,) * 3), is_train=False
    )
    ours = Preparation(32, (0.5,) * 3, (0.25,) * 3, mode)
    image = picture(3, size)
    expected = theirs(Image.fromarray((image * 255).round().byte().numpy()))
    assert torch.allclose(ours.apply(image), expected, atol=1e-6)


def test_preparation_is_read_from_the_config_not_from_a_name(open_clip_folder, tmp_path):
    from atelier.host.wardrobe.load_encoder import load_encoder

    other = tmp_path / "ViT-B-16-SigLIP"
    other.mkdir()
    config = json.loads(json.dumps(OPEN_CLIP)) | {
        "preprocess_cfg": {"mean": [0.1] * 3, "std": [0.3] * 3, "resize_mode": "shortest"}
    }
    (other / "open_clip_config.json").write_text(json.dumps(config))
    (other / "open_clip_model.safetensors").write_bytes((open_clip_folder / "open_clip_model.safetensors").read_bytes())
    encoder, first = load_encoder(str(other)), load_encoder(str(open_clip_folder))
    assert encoder.preparation.mean == (0.1, 0.1, 0.1) and encoder.preparation.resize == "shortest"
    assert encoder.hash != first.hash, "another preparation is another encoder"
    assert load_encoder(str(open_clip_folder)).hash == first.hash


def test_unfit_folders_are_refused_in_one_sentence(host, open_clip_folder, tmp_path):
    from atelier.host.wardrobe.load_encoder import load_encoder

    with pytest.raises(ValueError, match="holds no encoder"):
        load_encoder(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP))
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"dev\.py convert"):
        load_encoder(str(tmp_path))
    save_file({"visual.proj": torch.zeros(2, 2)}, str(tmp_path / "open_clip_model.safetensors"))
    with pytest.raises((ValueError, RuntimeError), match=r"do not fit|size mismatch"):
        load_encoder(str(tmp_path))


def test_loaded_by_the_hosts_memory_management(open_clip_folder):
    import comfy.model_management as management
    from atelier.host.wardrobe.load_encoder import load_encoder

    encoder = load_encoder(str(open_clip_folder))
    encoder.encode_text(["a dress"])
    assert any(loaded.model is encoder._network.patcher for loaded in management.current_loaded_models)
    management.unload_all_models()
    assert not any(loaded.model is encoder._network.patcher for loaded in management.current_loaded_models)
    assert encoder.encode_text(["a dress"]).shape == (1, 16)


@pytest.fixture
def closet(host, request):
    folder = host.base / "input" / f"words_{abs(hash(request.node.name))}"
    (folder / "tops").mkdir(parents=True)
    rng = np.random.default_rng(5)
    for number in range(6):
        picture = np.full((40, 40, 3), rng.integers(0, 255, 3), np.uint8)
        picture[number * 5 : number * 5 + 12, 8:30] = rng.integers(0, 255, 3)
        Image.fromarray(picture).save(folder / "tops" / f"{number}.png")
    return folder


@pytest.mark.parametrize("name,method", [("tiny-open-clip", "centred slerp"), ("tiny-open-clip", "direction"),
                                         ("tiny-qformer", "q-former")])  # fmt: skip
def test_words_and_composed_search_in_the_host(run_graph, open_clip_folder, qformer_folder, closet, name, method):
    from atelier.craft.wardrobe.wardrobe_search import open_vectors
    from atelier.craft.wardrobe.wardrobe_store import WardrobeStore
    from atelier.host.wardrobe.load_encoder import load_encoder

    search = {"count": 3, "method": method, "change_weight": 0.4, "unwanted": "", "unwanted_strength": 0.5,
              "filter": "",
              "variety": 0.0, "hide_same": True, "wardrobe": ["2", 0]}  # fmt: skip
    Image.open(closet / "tops" / "2.png").save(closet.parent / "words_query.png")
    run = run_graph({
        "1": {"class_type": "AtelierLoadFashionEncoder", "inputs": {"encoder": name}},
        "2": {"class_type": "AtelierIndexWardrobe", "inputs": {
            "encoder": ["1", 0], "place": "input", "folder": closet.name, "describe": True, "confidence": 0.3,
            "start_over": True}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "words_query.png"}},
        "4": {"class_type": "AtelierSearchWardrobe", "inputs": {**search, "text": "a red dress"}},
        "5": {"class_type": "AtelierSearchWardrobe", "inputs": {
            **search, "text": "long sleeve", "picture": ["3", 0], "present": "a shirt"}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["4", 1]}},
        "7": {"class_type": "PreviewImage", "inputs": {"images": ["5", 1]}},
    })  # fmt: skip
    encoder = load_encoder(str(open_clip_folder.parent / name))
    with WardrobeStore(closet) as store:
        vectors = open_vectors(store)
        names = [store.item(int(number)).path for number in vectors.ids]
    stored = vectors.matrix.view(6, encoder.tokens, encoder.dim).double()
    words = (stored @ encoder.encode_text(["a red dress"])[0].double()).amax(-1)
    hits = run.outputs["4"]["atelier_hits"]
    assert [hit["path"] for hit in hits] == [names[i] for i in words.argsort(descending=True)[:3]]
    composed = [hit["path"] for hit in run.outputs["5"]["atelier_hits"]]
    assert "tops/2.png" not in composed and len(composed) == 3
    if method == "q-former":
        with Image.open(closet / "tops" / "2.png") as image:
            query = torch.from_numpy(np.asarray(image.convert("RGB")).copy()).float() / 255
        fused = (stored @ encoder.fuse(query[None], ["long sleeve"])[0].double()).amax(-1)
        fused[names.index("tops/2.png")] = -9
        assert composed == [names[i] for i in fused.argsort(descending=True)[:3]]


def test_qformer_folder_in_both_layouts(qformer_folder, tmp_path):
    from atelier.host.wardrobe.load_encoder import load_encoder
    from atelier.host.wardrobe.qformer_encoder import load_qformer
    from safetensors.torch import load_file

    encoder = load_encoder(str(qformer_folder))
    assert (encoder.tokens, encoder.dim) == (4, 8) and encoder.encode_image([picture(1)]).shape == (1, 4, 8)
    assert encoder.match([picture(1)], ["a red dress"]).shape == (1,)
    with pytest.raises(ValueError, match="no language head"):
        encoder.write([picture(1)])
    caption = tmp_path / "captioner"
    caption.mkdir()
    save_file({"language_projection.weight": torch.zeros(2, 2)}, str(caption / "model.safetensors"))
    with pytest.raises(ValueError, match="captioning model"):
        load_qformer(str(caption))
    # The vision tower in a file of its own, as LAVIS keeps it: its last block is not used.
    state = load_file(qformer_folder / "model.safetensors")
    from atelier.models.unifashion import qformer_keys

    tower = {"blocks.0.norm1.weight": torch.ones(3), "blocks.1.norm1.weight": torch.ones(3), "cls_token": torch.ones(1)}
    merged = qformer_keys.with_eva_tower({}, tower)
    assert set(merged) == {"visual_encoder.blocks.0.norm1.weight", "visual_encoder.cls_token"}
    assert qformer_keys.is_transformers(state) and not qformer_keys.is_lavis(state)


def test_clip_vision_of_the_host_finds_by_picture_and_refuses_words(host, tmp_path):
    import comfy.clip_vision
    from atelier.host.wardrobe.fashion_encoder import ClipVisionEncoder

    config = {"hidden_act": "quick_gelu", "hidden_size": 32, "image_size": 28, "intermediate_size": 48,
              "layer_norm_eps": 1e-5,
              "model_type": "clip_vision_model", "num_attention_heads": 2, "num_channels": 3, "num_hidden_layers": 2,
              "patch_size": 14, "projection_dim": 12, "torch_dtype": "float32"}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    vision = comfy.clip_vision.ClipVisionModel(str(tmp_path / "config.json"))
    with torch.no_grad():
        for number, parameter in enumerate(vision.model.parameters()):
            torch.manual_seed(number)
            parameter.copy_(torch.randn_like(parameter) * 0.2 + float(parameter.ndim == 1))
    encoder = ClipVisionEncoder(vision)
    vectors = encoder.encode_image([picture(1), picture(1), picture(2)])
    assert (
        vectors.shape == (3, 12)
        and torch.allclose(vectors[0], vectors[1])
        and not torch.allclose(vectors[0], vectors[2])
    )
    with pytest.raises(ValueError, match="sees pictures only"):
        encoder.encode_text(["a dress"])
    with pytest.raises(ValueError, match="no joint pass"):
        encoder.fuse([picture(1)], ["red"])
