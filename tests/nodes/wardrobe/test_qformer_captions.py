"""Captions by the Q-Former's own language head, token by token against the network's own passes."""

import pytest
import torch
from atelier.tests.nodes.wardrobe.captioner_families import lively

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
