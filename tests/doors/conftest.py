"""Model folders as a stranger may hand them on: real layouts, tiny random weights, and what makes them bad."""

import json
import shutil
import socket

import pytest
import torch
from safetensors.torch import save_file

OPEN_CLIP = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 60, "width": 16, "heads": 2, "layers": 1,
                     "hf_tokenizer_name": "other/words", "tokenizer_kwargs": {"clean": "canonicalize"}},
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}  # fmt: skip
MARKER_CODE = "import pathlib\npathlib.Path({path!r}).write_text('ran')\nclass Found:\n    pass\n"


@pytest.fixture(scope="session")
def made(host, tmp_path_factory):
    """made(kind) -> a good folder of that kind, made once: open_clip, segformer, q-former, captioner."""
    base, done = tmp_path_factory.mktemp("good"), {}

    def make(kind):
        if kind not in done:
            done[kind] = base / kind
            done[kind].mkdir()
            {"open_clip": open_clip, "segformer": segformer, "q-former": q_former, "captioner": llava}[kind](done[kind])
        return done[kind]

    return make


@pytest.fixture
def folder(made, tmp_path):
    """folder(kind) -> a copy of the good folder that a test may spoil."""
    return lambda kind: shutil.copytree(made(kind), tmp_path / f"bad-{kind}")


@pytest.fixture
def load(host, monkeypatch):
    """load(kind, folder): what the node of that kind does with the folder."""
    import folder_paths
    from atelier.host.body import segformer_parser
    from atelier.host.wardrobe import captioner, load_encoder

    def run(kind, path):
        if kind == "captioner":
            return captioner.Captioner(str(path))
        if kind == "segformer":
            where = ([str(path.parent)], set())
            monkeypatch.setitem(folder_paths.folder_names_and_paths, segformer_parser.FOLDER, where)
            return segformer_parser.open_parser(path.name)
        return load_encoder.load_encoder(str(path))

    return run


@pytest.fixture
def calls(monkeypatch):
    """Every attempt to reach another machine; each of them fails."""
    seen = []

    def refuse(name):
        def attempt(*args, **_):
            seen.append((name, args[:2]))
            raise OSError(f"no network in this test: {name}")

        return attempt

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse(name))
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse(name))
    return seen


def change(folder, file, edit):
    """Write `file` of the folder anew after edit(content)."""
    path = folder / file
    content = json.loads(path.read_text()) if path.exists() else {}
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture(name="change")
def _change():
    return change


def words(folder):
    """A tokenizer of 60 words in transformers' layout."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "</s>", "<unk>", "<image>", "red", "dress", *(f"w{number}" for number in range(54))]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    fast.save_pretrained(folder)
    return fast


def open_clip(folder):
    import open_clip as library

    words(folder)
    (folder / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP))
    torch.manual_seed(0)
    model = library.CLIP(**json.loads(json.dumps(OPEN_CLIP["model_cfg"])))
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, str(folder / "open_clip_model.safetensors"))


def segformer(folder):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    names = dict(enumerate(["Background", "Skirt", "Upper-clothes"]))
    config = SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=8,
        id2label=names, label2id={name: number for number, name in names.items()},
    )  # fmt: skip
    with torch.no_grad():
        SegformerForSemanticSegmentation(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 64, "width": 64}}))


def q_former(folder):
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    config = Blip2Config.from_dict({
        "image_token_index": None, "num_query_tokens": 4, "image_text_hidden_size": 8,
        "qformer_config": {"vocab_size": 30, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1,
                           "intermediate_size": 48, "max_position_embeddings": 80, "cross_attention_frequency": 2,
                           "encoder_hidden_size": 64, "use_qformer_text_input": True},
        "vision_config": {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1,
                          "image_size": 28, "patch_size": 14},
    })  # fmt: skip
    with torch.no_grad():
        Blip2ForImageTextRetrieval(config).save_pretrained(folder)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(25))]
    (folder / "vocab.txt").write_text("\n".join(names))


def llava(folder):
    import transformers as t

    text = words(folder)
    layers = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = t.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8, "projection_dim": 16,
                       **layers},
        text_config={"model_type": "llama", "vocab_size": 60, "num_key_value_heads": 2, **layers}, image_token_id=3,
    )  # fmt: skip
    with torch.no_grad():
        t.LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    t.LlavaProcessor(images, text, patch_size=8, vision_feature_select_strategy="default", chat_template="{{ 1 }}",
                     num_additional_image_tokens=1).save_pretrained(folder)  # fmt: skip
