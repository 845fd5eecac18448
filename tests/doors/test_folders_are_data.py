"""A model folder is data: no code of it runs, nothing in it reaches the network or another folder, no configuration of
it hangs the host or takes more memory than its weights."""

import json

import pytest

KINDS = ["open_clip", "segformer", "q-former", "captioner"]
CONFIG = {kind: "open_clip_config.json" if kind == "open_clip" else "config.json" for kind in KINDS}
HUB = "hf-hub:other/repo"


def set_at(path, value):
    """An edit that sets one entry below, given as a dotted path."""

    def edit(content):
        *way, last = path.split(".")
        for key in way:
            content = content.setdefault(key, {})
        content[last] = value

    return edit


@pytest.mark.parametrize("kind", KINDS)
def test_good_folders_load_and_ask_for_no_network(made, load, calls, kind):
    assert load(kind, made(kind)) is not None
    assert calls == []


def test_the_guard_sees_an_attempt(made, calls):
    """The control: a library that is let do as it likes is counted."""
    from huggingface_hub import HfApi

    with pytest.raises(Exception):  # noqa: B017  whatever the library makes of it
        HfApi().model_info("other/repo")
    assert calls


def test_the_folders_words_are_the_ones_that_are_read(made, load):
    encoder = load("open_clip", made("open_clip"))
    red, dress, unknown = (encoder.encode_text([text])[0] for text in ("red", "dress", "nothing"))
    assert not red.allclose(dress) and not red.allclose(unknown)


CODE = [
    ("open_clip", "open_clip_config.json", "model_cfg.text_cfg.tokenizer_kwargs.trust_remote_code", True),
    ("open_clip", "tokenizer_config.json", "auto_map.AutoTokenizer", ["evil.Found", "evil.Found"]),
    ("open_clip", "tokenizer_config.json", "auto_map.AutoTokenizer", ["other/repo--evil.Found", None]),
    ("captioner", "config.json", "auto_map.AutoConfig", "evil.Found"),
    ("captioner", "config.json", "auto_map.AutoModelForImageTextToText", "other/repo--evil.Found"),
    ("captioner", "config.json", "text_config.auto_map.AutoConfig", "evil.Found"),
    ("captioner", "processor_config.json", "auto_map.AutoProcessor", "evil.Found"),
    ("captioner", "preprocessor_config.json", "auto_map.AutoImageProcessor", "evil.Found"),
    ("captioner", "tokenizer_config.json", "auto_map.AutoTokenizer", ["evil.Found", "evil.Found"]),
    ("captioner", "generation_config.json", "custom_generate", "other/repo"),
    ("captioner", "config.json", "custom_pipelines.image-to-text.impl", "evil.Found"),
    ("segformer", "config.json", "auto_map.AutoConfig", "evil.Found"),
    ("segformer", "preprocessor_config.json", "auto_map.AutoImageProcessor", "evil.Found"),
    ("q-former", "config.json", "auto_map.AutoConfig", "evil.Found"),
    ("q-former", "tokenizer_config.json", "auto_map.AutoTokenizer", ["evil.Found", "evil.Found"]),
]


@pytest.mark.parametrize("kind, file, key, value", CODE)
def test_code_of_a_folder_never_runs(folder, load, calls, change, tmp_path, kind, file, key, value):
    path, marker = folder(kind), tmp_path / "ran"
    (path / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).write_text('ran')\nclass Found: ...\n"
    )
    change(path, file, set_at(key, value))
    if key.endswith("trust_remote_code"):
        change(path, "tokenizer_config.json", set_at("auto_map.AutoTokenizer", ["evil.Found", "evil.Found"]))
    named = next(part for part in key.split(".") if part in ("auto_map", "trust_remote_code", "custom_generate",
                                                             "custom_pipelines"))  # fmt: skip
    with pytest.raises(ValueError, match=f"{named}|auto_map"):
        load(kind, path)
    assert not marker.exists() and calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_a_python_file_in_it_still_loads(folder, load, tmp_path, kind):
    """As the recommended encoder is published: a .py beside whole tensors and a configuration that does not need it."""
    path, marker = folder(kind), tmp_path / "ran"
    (path / "modeling.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).write_text('ran')\n")
    if kind == "open_clip":
        code = {"auto_map": {"AutoModel": "modeling.Found"}, "model_type": "siglip"}
        (path / "config.json").write_text(json.dumps(code))
    assert load(kind, path) is not None
    assert not marker.exists()


ELSEWHERE = [
    ("open_clip", "open_clip_config.json", "model_cfg.vision_cfg.timm_model_name", HUB),
    ("open_clip", "open_clip_config.json", "model_cfg.vision_cfg.timm_model_name", "hf_hub:other/repo"),
    ("open_clip", "open_clip_config.json", "model_cfg.vision_cfg.timm_model_name", "local-dir:/elsewhere"),
    ("open_clip", "open_clip_config.json", "model_cfg.text_cfg.hf_model_name", "other/repo"),
    ("open_clip", "open_clip_config.json", "model_cfg.text_cfg.tokenizer_kwargs.pretrained_model_name_or_path", "o/r"),
    ("captioner", "config.json", "vision_config", {"model_type": "timm_wrapper", "architecture": HUB}),
    ("captioner", "config.json", "vision_config", {"model_type": "timm_backbone", "backbone": HUB}),
    ("captioner", "config.json", "model_type", "vision-encoder-decoder"),
    ("captioner", "adapter_config.json", "base_model_name_or_path", "other/repo"),
    ("captioner", "tokenizer_config.json", "tokenizer_file", "/elsewhere/tokenizer.json"),
    ("captioner", "model.safetensors.index.json", "weight_map.a", "../other.safetensors"),
    ("q-former", "config.json", "vision_config.model_type", "timm_wrapper"),
    ("q-former", "tokenizer_config.json", "vocab_file", "/elsewhere/vocab.txt"),
]


@pytest.mark.parametrize("kind, file, key, value", ELSEWHERE)
def test_nothing_leads_to_the_network_or_to_another_folder(folder, load, calls, change, kind, file, key, value):
    path = folder(kind)
    change(path, file, set_at(key, value))
    with pytest.raises(ValueError) as problem:
        load(kind, path)
    assert path.name in str(problem.value) and calls == []


@pytest.mark.parametrize("kind, file, key", [
    ("captioner", "config.json", "_name_or_path"),
    ("captioner", "config.json", "text_config._name_or_path"),
    ("captioner", "config.json", "vision_config._name_or_path"),
    ("captioner", "tokenizer_config.json", "name_or_path"),
    ("segformer", "config.json", "_name_or_path"),
    ("q-former", "config.json", "_name_or_path"),
    ("open_clip", "tokenizer_config.json", "name_or_path"),
])  # fmt: skip
def test_names_that_the_library_wrote_down_are_not_followed(folder, load, calls, change, kind, file, key):
    path = folder(kind)
    change(path, file, set_at(key, "other/repo"))
    assert load(kind, path) is not None
    assert calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_is_not_on_the_list_is_named(folder, load, change, kind):
    path = folder(kind)
    change(path, CONFIG[kind], set_at("surprise", 1))
    with pytest.raises(ValueError, match="surprise"):
        load(kind, path)


MALFORMED = [[], "text", None, 3]
LARGE = [
    ("open_clip", "model_cfg.vision_cfg.layers", 10**9), ("open_clip", "model_cfg.vision_cfg.width", 10**9),
    ("open_clip", "model_cfg.text_cfg.vocab_size", 10**12), ("open_clip", "model_cfg.vision_cfg.image_size", 100_000),
    ("open_clip", "preprocess_cfg.size", 100_000), ("open_clip", "model_cfg.embed_dim", -3),
    ("open_clip", "model_cfg.vision_cfg.width", 65_536), ("open_clip", "model_cfg.vision_cfg.layers", "12"),
    ("segformer", "depths", [10**9] * 4), ("segformer", "hidden_sizes", [10**9] * 4),
    ("segformer", "hidden_sizes", [60_000] * 4), ("segformer", "depths", "1"), ("segformer", "hidden_sizes", 4),
    ("q-former", "qformer_config.num_hidden_layers", 10**9), ("q-former", "vision_config.hidden_size", 10**9),
    ("q-former", "vision_config", []), ("q-former", "vision_config.image_size", 100_000),
    ("captioner", "text_config.num_hidden_layers", 10**9), ("captioner", "text_config.hidden_size", 10**9),
    ("captioner", "text_config.hidden_size", 65_536), ("captioner", "vision_config.image_size", 100_000),
    ("captioner", "text_config", [1]), ("captioner", "text_config.hidden_size", "wide"),
    ("captioner", "text_config.num_attention_heads", 0), ("captioner", "text_config.hidden_size", {"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize("kind, key, value", LARGE)
def test_a_configuration_that_asks_for_nonsense_is_a_sentence(folder, load, change, kind, key, value):
    path = folder(kind)
    change(path, CONFIG[kind], set_at(key, value))
    with pytest.raises(ValueError) as problem:
        load(kind, path)
    assert path.name in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [*MALFORMED, {"model_type": ["llava"]}, {"model_type": {}}])
def test_a_configuration_of_another_type_is_a_sentence(folder, load, kind, content):
    path = folder(kind)
    (path / CONFIG[kind]).write_text(json.dumps(content))
    with pytest.raises(ValueError) as problem:
        load(kind, path)
    assert CONFIG[kind] in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    ["[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000, "{", "\x00", '{"a": NaN}', " " * (5 << 20)],
    ids=["lists", "objects", "cut", "zero", "nan", "large"],
)  # fmt: skip
def test_a_damaged_configuration_is_a_sentence(folder, load, kind, text):
    path = folder(kind)
    (path / CONFIG[kind]).write_text(text)
    with pytest.raises(ValueError, match=CONFIG[kind]):
        load(kind, path)


@pytest.mark.parametrize("size", [{"height": 100_000, "width": 64}, 100_000, [], "wide", {"height": -1, "width": 2}])
@pytest.mark.parametrize("kind", ["segformer", "captioner"])
def test_a_picture_size_beyond_reason_is_refused(folder, load, change, kind, size):
    path = folder(kind)
    change(path, "preprocessor_config.json", set_at("size", size))
    with pytest.raises(ValueError, match="size"):
        load(kind, path)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_cut_off_are_a_sentence(folder, load, kind):
    path = folder(kind)
    weights = next(path.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"safetensors.* copy"):
        load(kind, path)
