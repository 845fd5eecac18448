"""Captioners of every family from a local folder: tiny random weights in transformers' own layouts, the real load path,
and transformers' own generation from the same folder as the oracle."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

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
CLASSES = {
    "florence2": "Florence2ForConditionalGeneration", "idefics3": "Idefics3ForConditionalGeneration",
    "smolvlm": "SmolVLMForConditionalGeneration", "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration", "llava": "LlavaForConditionalGeneration",
}  # fmt: skip
CHAT = [kind for kind in CLASSES if kind != "florence2"]
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "max_position_embeddings": 2048,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}  # fmt: skip


def words(*special):
    """Every letter a token, after <s> </s> <pad> and the family's own; nothing to download."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    names = ["<s>", "</s>", "<pad>", "<unk>", *special, "\u0120", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, len(names), {name: number for number, name in enumerate(names)}


def fast(cls, tokenizer, special, **more):
    return cls(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
               additional_special_tokens=list(special), vocab_file=None, merges_file=None,
               model_input_names=["input_ids", "attention_mask"], **more)  # fmt: skip


def lively(model, seed):
    """Weights whose greedy text depends on the picture and on every word asked."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 0.1 if parameter.ndim == 1 else 1.5 * max(1, noise[0].numel()) ** -0.5
            one = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(noise * (1.0 if "embed_tokens" in name or "shared" in name else scale) + float(one))
    return model


def florence2(kind):
    from transformers import (
        BartTokenizerFast,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    tokenizer, size, ids = words("<image>")
    config = Florence2Config(
        vision_config={"depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
                       "patch_prenorm": [False, True], "embed_dim": [16, 32], "num_heads": [2, 2], "num_groups": [2, 2],
                       "window_size": 2, "projection_dim": 32},
        text_config={"model_type": "bart", "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": size,
                     "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
                     "decoder_ffn_dim": 32, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1,
                     "pad_token_id": 2, "decoder_start_token_id": 1, "forced_eos_token_id": 1},
        image_token_id=ids["<image>"], bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    model = lively(Florence2ForConditionalGeneration(config), 1)
    images = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    images.image_seq_length = 17
    text = fast(BartTokenizerFast, tokenizer, [], extra_special_tokens={"image_token": "<image>"})
    return model, Florence2Processor(images, text)


def smol(kind):
    import transformers as t

    small = kind == "smolvlm"
    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end>",
               *(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4))]  # fmt: skip
    tokenizer, size, ids = words(*special)
    config = (t.SmolVLMConfig if small else t.Idefics3Config)(
        vision_config={"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                       "image_size": 16, "patch_size": 4},
        text_config={"model_type": "llama", **TEXT, "vocab_size": size},
        scale_factor=2, image_token_id=ids["<image>"], pad_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    model = lively((t.SmolVLMForConditionalGeneration if small else t.Idefics3ForConditionalGeneration)(config), 2)
    sizes = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}}
    text = fast(t.PreTrainedTokenizerFast, tokenizer, special)
    template = TEMPLATE.replace("IMAGE", "<image>")
    if small:
        videos = t.SmolVLMVideoProcessor(**sizes)
        return model, t.SmolVLMProcessor(t.SmolVLMImageProcessor(**sizes), text, videos, 4, chat_template=template)
    return model, t.Idefics3Processor(t.Idefics3ImageProcessor(**sizes), text, 4, chat_template=template)


def qwen(kind):
    import transformers as t

    newer = kind == "qwen2_5_vl"
    special = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<end>"]
    tokenizer, size, ids = words(*special)
    vision = {"depth": 1, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    vision |= {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 1} if not newer else {
        "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 32, "window_size": 16,
        "fullatt_block_indexes": [0]}  # fmt: skip
    config = (t.Qwen2_5_VLConfig if newer else t.Qwen2VLConfig)(
        text_config={**TEXT, "vocab_size": size, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}},
        vision_config=vision, image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )  # fmt: skip
    model = lively((t.Qwen2_5_VLForConditionalGeneration if newer else t.Qwen2VLForConditionalGeneration)(config), 3)
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 64, "max_pixels": 1024}
    text = fast(t.Qwen2TokenizerFast, tokenizer, special)
    template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    return model, (t.Qwen2_5_VLProcessor if newer else t.Qwen2VLProcessor)(
        t.Qwen2VLImageProcessor(**sizes), text, t.Qwen2VLVideoProcessor(**sizes), chat_template=template
    )


def llava(kind):
    import transformers as t

    tokenizer, size, ids = words("<image>", "<end>")
    config = t.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 32, "patch_size": 8,
                       "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "projection_dim": 16},
        text_config={"model_type": "llama", **TEXT, "vocab_size": size}, image_token_id=ids["<image>"],
    )  # fmt: skip
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    text = fast(t.PreTrainedTokenizerFast, tokenizer, ["<image>", "<end>"])
    template = TEMPLATE.replace("IMAGE", "<image>")
    processor = t.LlavaProcessor(images, text, patch_size=8, vision_feature_select_strategy="default",
                                 chat_template=template, num_additional_image_tokens=1)  # fmt: skip
    return lively(t.LlavaForConditionalGeneration(config), 4), processor


@pytest.fixture(scope="module", autouse=True)
def num2words():
    """SmolVLM2's processor asks for this package, for videos only; the tests do not depend on it."""
    from transformers.models.smolvlm import processing_smolvlm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processing_smolvlm, "num2words", str)
        yield


@pytest.fixture(scope="module")
def folders(host, num2words):
    """folders(kind) -> the folder of that family in models/atelier/captioners, made once."""
    made = {}

    def folder(kind):
        if kind not in made:
            make = {"florence2": florence2, "llava": llava, "qwen2_vl": qwen, "qwen2_5_vl": qwen}.get(kind, smol)
            model, processor = make(kind)
            made[kind] = host.base / "models" / "atelier" / "captioners" / f"tiny-{kind}"
            # As published folders have it; the same picture must give the same words all the same.
            beams, chance = {"num_beams": 3, "early_stopping": True}, {"do_sample": True, "temperature": 9.0}
            ways = beams if kind == "florence2" else chance
            model.generation_config.update(bos_token_id=0, eos_token_id=1, pad_token_id=2, **ways)
            model.save_pretrained(made[kind])
            processor.save_pretrained(made[kind])
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def picture(host):
    pixels = np.random.default_rng(3).integers(0, 255, (40, 28, 3), np.uint8)
    Image.fromarray(pixels).save(host.base / "input" / "captioned.png")
    return SimpleNamespace(pixels=Image.fromarray(pixels), tensor=torch.from_numpy(pixels)[None].float() / 255)


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
def test_every_family_writes_in_the_host_what_transformers_writes(run_graph, folders, picture, kind):
    folder = folders(kind)
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
def test_the_families_own_class_under_the_hosts_memory_management(folders, picture, kind):
    import comfy.model_management as management
    from atelier.host.wardrobe.captioner import Captioner

    captioner = Captioner(str(folders(kind)))
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
def test_chat_models_are_given_the_words_and_the_change(folders, picture, kind):
    from atelier.host.wardrobe.captioner import Captioner

    captioner = Captioner(str(folders(kind)))
    choose = f"{ASK['short']} Choose from these words where they fit: navy, linen.{PRESENT}"
    (chosen,) = captioner.write(picture.tensor, "short", words=" navy  linen ", longest=LONGEST)
    (changed,) = captioner.write(picture.tensor, "short", change="longer sleeves", longest=LONGEST)
    assert chosen == stock(folders(kind), kind, picture.pixels, choose)
    assert changed == stock(folders(kind), kind, picture.pixels, CHANGE)
    assert len({chosen, changed, *captioner.write(picture.tensor, "short", longest=LONGEST)}) == 3


def test_florence_refuses_what_it_cannot_do(folders, picture):
    from atelier.host.wardrobe.captioner import Captioner

    captioner = Captioner(str(folders("florence2")))
    with pytest.raises(ValueError, match="tiny-florence2 cannot follow a wished change"):
        captioner.write(picture.tensor, "short", change="longer sleeves")
    with pytest.raises(ValueError, match="tiny-florence2 cannot choose from given words"):
        captioner.write(picture.tensor, "short", words="navy linen")


def test_words_and_change_are_refused_where_nobody_takes_them(host, picture):
    from atelier.nodes.describe import GarmentCaption

    with pytest.raises(ValueError, match="Only a captioner takes 'words' and 'change'"):
        GarmentCaption().execute(picture.tensor, "short", caption="a red dress", words="navy")
    assert GarmentCaption().execute(picture.tensor, "short", caption="a red dress")["result"][1] == "red dress"


def test_large_pictures_are_scaled_down_for_chat_models(folders, monkeypatch):
    from atelier.host.wardrobe.captioner import LONGEST_SIDE, Captioner

    captioner, seen = Captioner(str(folders("qwen2_vl"))), []
    images = captioner.processor.image_processor
    original = type(images).preprocess
    monkeypatch.setattr(type(images), "preprocess", lambda self, images, *a, **k: (
        seen.append(images[0].size), original(self, images, *a, **k))[1])  # fmt: skip
    captioner.write(torch.rand(1, 1200, 2 * LONGEST_SIDE, 3), "short", longest=1)
    captioner.write(torch.rand(1, 30, 40, 3), "short", longest=1)
    assert seen == [(LONGEST_SIDE, 600), (40, 30)]


@pytest.mark.parametrize("kind", ["qwen2_vl", "idefics3"])
def test_half_precision_is_transformers_own(folders, picture, kind, monkeypatch):
    """Where the device takes bfloat16 a model made in it is loaded in it; the tables of positions stay at float32."""
    import comfy.model_management as management
    from atelier.host.wardrobe.captioner import Captioner

    folder = folders(kind)
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


def copied(folder, target):
    import shutil

    return shutil.copytree(folder, target / folder.name)


@pytest.mark.parametrize("kind", ["florence2", "qwen2_5_vl"])
def test_a_file_that_lacks_tensors_is_refused(folders, tmp_path, kind):
    """transformers itself fills them with random numbers."""
    from atelier.host.wardrobe.captioner import Captioner
    from safetensors.torch import load_file, save_file

    folder = copied(folders(kind), tmp_path)
    state = load_file(folder / "model.safetensors")
    Captioner(str(folder))
    lost = next(name for name in state if "fc1.weight" in name or "down_proj.weight" in name)
    rest = {name: value for name, value in state.items() if name != lost}
    save_file(rest, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lack 1 of the network's tensors"):
        Captioner(str(folder))
    save_file(state | {lost: torch.zeros(3, 3)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="cannot be loaded as a captioner"):
        Captioner(str(folder))
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="cannot be loaded as a captioner"):
        Captioner(str(folder))


def test_a_chat_model_without_its_template_is_refused(folders, tmp_path):
    from atelier.host.wardrobe.captioner import Captioner

    folder = copied(folders("idefics3"), tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        Captioner(str(folder))


def test_quantized_weights_are_refused(folders, tmp_path):
    from atelier.host.wardrobe.captioner import Captioner

    folder = copied(folders("qwen2_vl"), tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": {"quant_method": "awq"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="weights are quantized"):
        Captioner(str(folder))


def test_smolvlm2_names_the_package_that_it_needs(folders, monkeypatch):
    from atelier.host.wardrobe.captioner import Captioner
    from transformers.models.smolvlm import processing_smolvlm

    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    with pytest.raises(ValueError, match="pip install num2words"):
        Captioner(str(folders("smolvlm")))
    Captioner(str(folders("idefics3")))  # the first SmolVLM does without


def test_code_in_the_folder_is_never_run(folders, tmp_path):
    """A folder as Florence-2 was first published: its own classes in .py files, named by auto_map."""
    from atelier.host.wardrobe.captioner import Captioner

    folder = copied(folders("florence2"), tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "florence2_own"}
    config["auto_map"] = {"AutoConfig": "own_code.Config", "AutoModelForCausalLM": "own_code.Model",
                          "AutoProcessor": "own_code.Processor",
                          "AutoModelForImageTextToText": "own_code.Model"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ValueError, match=r"folders that bring \.py files do not"):
        Captioner(str(folder))
    assert not (tmp_path / "ran").exists()


# --- the Q-Former's own language head ---

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(34)), "[DEC]"]


@pytest.fixture(scope="module")
def qformer_folder(host):
    """Weights in LAVIS's names, with the language head that transformers' layout lacks; heads of 64 numbers."""
    from atelier.models.unifashion.qformer import LanguageHead
    from safetensors.torch import save_file
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    width, count = 64, len(VOCABULARY)
    model = lively(Blip2ForImageTextRetrieval(Blip2Config.from_dict({
        "image_token_index": None, "num_query_tokens": 4, "image_text_hidden_size": 8,
        "qformer_config": {"vocab_size": count, "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 1,
                           "intermediate_size": 48, "max_position_embeddings": 20, "cross_attention_frequency": 2,
                           "encoder_hidden_size": width, "use_qformer_text_input": True},
        "vision_config": {"hidden_size": width, "intermediate_size": 32, "num_hidden_layers": 1,
                          "num_attention_heads": 1, "image_size": 28, "patch_size": 14},
    })), 5)  # fmt: skip
    head = lively(LanguageHead(width, count), 6).state_dict()
    names = (("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
             ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
             ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
             ("vision_model.post_layernorm", "ln_vision"), ("vision_model.encoder.layers", "visual_encoder.blocks"),
             ("layer_norm", "norm"), ("self_attn.projection", "attn.proj"), ("self_attn.qkv", "attn.qkv"),
             ("qformer.layernorm", "Qformer.bert.embeddings.LayerNorm"), ("attention.attention.", "attention.self."),
             ("qformer.encoder", "Qformer.bert.encoder"), ("vision_projection", "vision_proj"),
             ("text_projection", "text_proj"))  # fmt: skip
    state = {}
    for name, tensor in model.state_dict().items():
        for theirs, lavis in names:
            name = name.replace(theirs, lavis)
        name = f"Qformer.bert.{name}" if name.startswith("embeddings.") else name
        if name.endswith("attn.qkv.bias"):
            state[name.replace("qkv.bias", "q_bias")], _, state[name.replace("qkv.bias", "v_bias")] = tensor.chunk(3)
        elif not name.endswith("position_ids"):
            state[name] = tensor
    old = {"dense": "transform.dense", "norm": "transform.LayerNorm", "decoder": "decoder"}
    state |= {f"Qformer.cls.predictions.{old[name.split('.')[0]]}.{name.split('.')[1]}": value
              for name, value in head.items()}  # fmt: skip
    folder = host.base / "models" / "atelier" / "encoders" / "tiny-lavis"
    folder.mkdir(parents=True)
    save_file({name: value.contiguous().clone() for name, value in state.items()}, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return folder


def spoken_by_hand(folder, image, longest):
    """Token by token from the network's own passes: the most likely word after [DEC] and all that was said."""
    from atelier.host.wardrobe.qformer_encoder import QFormerEncoder, load_qformer

    network, said = load_qformer(str(folder)), [len(VOCABULARY) - 1]
    with torch.no_grad():
        seen = network.see(QFormerEncoder(str(folder)).preparation.apply(image)[None])
        while len(said) <= longest:
            ids = torch.tensor([said])
            said.append(int(network.language(seen, ids, torch.ones_like(ids))[0, -1].argmax()))
            if VOCABULARY[said[-1]] == "[SEP]":
                break
    return " ".join(VOCABULARY[number] for number in said[1:] if number >= 5)  # the tokenizer's own signs are not said


def test_the_q_formers_language_head_writes_in_the_host(run_graph, qformer_folder, picture):
    graph = {
        "load": {"class_type": "AtelierLoadFashionEncoder", "inputs": {"encoder": "tiny-lavis"}},
        "picture": {"class_type": "LoadImage", "inputs": {"image": "captioned.png"}},
        "write": {"class_type": "AtelierGarmentCaption", "inputs": {
            "image": ["picture", 0], "style": "short", "encoder": ["load", 0], "longest": 8}},
        "show": {"class_type": "PreviewAny", "inputs": {"source": ["write", 0]}},
    }  # fmt: skip
    (text,) = run_graph(graph).outputs["show"]["text"]
    assert text == spoken_by_hand(qformer_folder, picture.tensor[0], 8) and len(text.split()) > 1
    assert text != spoken_by_hand(qformer_folder, 1 - picture.tensor[0], 8), "another picture, other words"


def test_q_former_captions_of_many_pictures_progress_and_cancel(qformer_folder, picture, monkeypatch):
    import comfy.model_management as management
    from atelier.host.wardrobe.qformer_encoder import QFormerEncoder

    encoder = QFormerEncoder(str(qformer_folder))
    pictures = [picture.tensor[0], 1 - picture.tensor[0]] * 9  # more than one batch
    written = encoder.write(pictures, 6)
    assert written == [spoken_by_hand(qformer_folder, one, 6) for one in pictures[:2]] * 9
    # A longer wish than the network has places for ends there, not in an error.
    assert len(encoder.write(pictures[:1], 1000)[0].split()) <= 20
    checks = []

    def stop():
        checks.append(1)
        if len(checks) == 3:
            raise management.InterruptProcessingException

    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", stop)
    with pytest.raises(management.InterruptProcessingException):
        encoder.write(pictures, 6)
    assert len(checks) == 3
