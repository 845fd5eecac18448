"""UniFashion's networks: the Q-Former in both layouts, its passes and losses, query tokens, zero cross-attention."""

import re

import pytest
import torch
from atelier.dev.setup.torchvision_ops import make_importable
from atelier.models.unifashion import losses, qformer_keys
from torch.nn.functional import cross_entropy, normalize


@pytest.fixture(scope="module")
def blip2():
    make_importable()
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    torch.manual_seed(0)
    config = {
        "image_token_index": None, "num_query_tokens": 6, "image_text_hidden_size": 8,
        "qformer_config": {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
                           "intermediate_size": 48, "max_position_embeddings": 24, "cross_attention_frequency": 2,
                           "encoder_hidden_size": 24, "use_qformer_text_input": True},
        "vision_config": {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                          "image_size": 28, "patch_size": 14},
    }  # fmt: skip
    model = Blip2ForImageTextRetrieval(Blip2Config.from_dict(config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = name.endswith("weight") and parameter.ndim == 1  # layer norms stay near 1
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.ndim == 1 else 0.3) + float(scale))
    return model


def lavis_state(model, vocabulary=40, hidden=32):
    """The same weights in LAVIS's names, written down independently of the mapping under test."""
    state = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("position_ids"):
            continue
        name = name.replace("vision_model.embeddings.class_embedding", "visual_encoder.cls_token")
        name = name.replace("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed")
        name = name.replace("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj")
        name = name.replace("vision_model.post_layernorm", "ln_vision")
        name = name.replace("vision_model.encoder.layers", "visual_encoder.blocks").replace("layer_norm", "norm")
        name = name.replace("self_attn.projection", "attn.proj").replace("self_attn.qkv", "attn.qkv")
        name = name.replace("qformer.layernorm", "Qformer.bert.embeddings.LayerNorm")
        name = re.sub(r"^embeddings\.", "Qformer.bert.embeddings.", name)
        name = name.replace("attention.attention.", "attention.self.")
        name = re.sub(r"^qformer\.encoder", "Qformer.bert.encoder", name)
        name = name.replace("vision_projection", "vision_proj").replace("text_projection", "text_proj")
        if name.endswith("attn.qkv.bias"):
            query, _, value = tensor.chunk(3)
            state[name.replace("qkv.bias", "q_bias")], state[name.replace("qkv.bias", "v_bias")] = query, value
        else:
            state[name] = tensor
    head = torch.Generator().manual_seed(3)
    for name, shape in {"transform.dense.weight": (hidden, hidden), "transform.dense.bias": (hidden,),
                        "transform.LayerNorm.weight": (hidden,), "transform.LayerNorm.bias": (hidden,),
                        "decoder.weight": (vocabulary, hidden), "decoder.bias": (vocabulary,)}.items():  # fmt: skip
        state[f"Qformer.cls.predictions.{name}"] = torch.randn(shape, generator=head) * 0.2
    state["Qformer.cls.predictions.bias"] = state["Qformer.cls.predictions.decoder.bias"]
    return state | {"temp": torch.tensor(0.05), "prompt_tokens": torch.zeros(1, 6, hidden)}


@pytest.fixture(scope="module")
def qformer(blip2):
    from atelier.models.unifashion.qformer import QFormer

    with torch.no_grad():
        for layer in blip2.vision_model.encoder.layers:
            layer.self_attn.qkv.bias[24:48] = 0  # LAVIS has no bias on keys
    network = QFormer.from_state(lavis_state(blip2), heads=2, vision_heads=2)
    network.model.vision_model.post_layernorm.eps = 1e-6  # compare with transformers' own epsilon
    return network


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(1)
    ids = torch.randint(4, 39, (3, 7))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return torch.randn(3, 3, 28, 28), ids, mask


@torch.no_grad()
def test_lavis_layout_gives_what_transformers_gives(blip2, qformer, data):
    pixels, ids, mask = data
    from atelier.models.unifashion.qformer import best_of_queries

    theirs = blip2(pixel_values=pixels, input_ids=ids, attention_mask=mask)
    queries = qformer.queries(qformer.see(pixels))
    images, texts = qformer.image_vectors(queries), qformer.text_vectors(qformer.text(ids, mask))
    assert torch.allclose(best_of_queries(images, texts), theirs.logits_per_image, atol=1e-6)
    joint = qformer.joint(qformer.see(pixels), ids, mask)
    matched = blip2(pixel_values=pixels, input_ids=ids, attention_mask=mask, use_image_text_matching_head=True)
    assert torch.allclose(qformer.match_logits(joint), matched.logits_per_image, atol=1e-5)
    assert float(qformer.temperature) == pytest.approx(0.05)
    # Control: the mean over queries, or another position than the text's [CLS], are other numbers.
    assert not torch.allclose(torch.einsum("iqd,td->it", images, texts) / 6, theirs.logits_per_image, atol=1e-3)
    wrong = normalize(qformer.model.text_projection(joint[:, 0]), dim=-1)
    assert not torch.allclose(wrong, qformer.composed_vectors(joint), atol=1e-2)


def test_shapes_tell_the_architecture(blip2):
    state, beside = qformer_keys.from_lavis(lavis_state(blip2))
    config = qformer_keys.config_from_shapes(state, heads=2, vision_heads=2)
    assert config["qformer_config"]["cross_attention_frequency"] == 2
    assert config["vision_config"]["image_size"] == 28 and config["num_query_tokens"] == 6
    assert set(state) == {name for name in blip2.state_dict() if not name.endswith("position_ids")}
    assert "prompt_tokens" in beside and "temp" in beside


def test_weights_that_do_not_fit_are_named(blip2):
    from atelier.models.unifashion.qformer import QFormer

    state = lavis_state(blip2)
    del state["itm_head.bias"]
    with pytest.raises(ValueError, match=r"1 missing .*itm_head\.bias"):
        QFormer.from_state(state, heads=2, vision_heads=2)
    with pytest.raises(ValueError, match=r"1 unexpected .*strange"):
        QFormer.from_state(lavis_state(blip2) | {"strange": torch.zeros(1)}, heads=2, vision_heads=2)
    with pytest.raises(ValueError, match="no BLIP-2"):
        QFormer.from_state({"a": torch.zeros(1)})


@torch.no_grad()
def test_language_pass_is_causal_and_greedy_writing_follows_it(qformer, data):
    pixels, ids, mask = data
    seen = qformer.see(pixels)
    whole = qformer.language(seen, ids, torch.ones_like(mask))
    for length in (1, 4):
        part = qformer.language(seen, ids[:, :length], torch.ones_like(mask[:, :length]))
        assert torch.allclose(part, whole[:, :length], atol=1e-5)
    changed = ids.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 39
    other = qformer.language(seen, changed, torch.ones_like(mask))
    assert torch.allclose(other[:, :4], whole[:, :4], atol=1e-5) and not torch.allclose(
        other[:, 4:], whole[:, 4:], atol=1e-3
    )
    written = qformer.write(pixels, start=39, stop=3, longest=5)
    start = torch.full((3, 1), 39)
    first = qformer.language(seen, start, torch.ones_like(start))[:, -1].argmax(-1)
    assert [row[0] for row in written if row] == [int(t) for t, row in zip(first, written) if row]


def test_losses_against_closed_forms():
    torch.manual_seed(2)
    images, texts = torch.randn(4, 3, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    temperature = torch.tensor(0.1, dtype=torch.float64)
    table = torch.tensor([[max(float(normalize(q, dim=0) @ normalize(t, dim=0)) for q in image) for t in texts]
                          for image in images], dtype=torch.float64) / 0.1  # fmt: skip
    own = torch.arange(4)
    rows = -(table - table.logsumexp(1, keepdim=True)).diag().mean()
    columns = -(table - table.logsumexp(0, keepdim=True)).diag().mean()
    assert float(losses.contrastive(images, texts, temperature)) == pytest.approx(float(rows + columns), abs=1e-9)
    assert float(losses.contrastive_eq3(images, texts, temperature)) == pytest.approx(float(columns), abs=1e-9)
    assert float(losses.composed_to_caption(images, texts, temperature)) == pytest.approx(float(rows), abs=1e-9)
    smooth = 0.9 * (rows + columns) / 2 - 0.1 * (table.log_softmax(1).mean() + table.log_softmax(0).mean()) / 2
    assert float(losses.contrastive_lavis(images, texts, temperature)) == pytest.approx(float(smooth), abs=1e-9)
    text, image = losses.hard_negatives(table, as_lavis=True)
    assert all(int(text[i]) != i and int(image[i]) != i for i in own)
    assert torch.equal(text, (table - 1e9 * torch.eye(4)).argmax(1))
    swapped = losses.hard_negatives(table)
    assert torch.equal(swapped[0], image) and torch.equal(swapped[1], text)


def test_language_loss_counts_no_padding_and_shifts_by_one():
    logits = torch.randn(2, 4, 7, dtype=torch.float64)
    ids = torch.tensor([[6, 2, 3, 0], [6, 5, 0, 0]])
    by_hand = torch.stack([-logits[0, 0].log_softmax(-1)[2], -logits[0, 1].log_softmax(-1)[3],
                           -logits[1, 0].log_softmax(-1)[5]]).mean()  # fmt: skip
    assert float(losses.language(logits, ids, smoothing=0)) == pytest.approx(float(by_hand), abs=1e-12)
    assert float(losses.language(logits, ids)) > 0 and losses.language(logits, ids) != by_hand
    scores = torch.randn(6, 3, 2, dtype=torch.float64)
    labels = torch.tensor([1, 1, 0, 0, 0, 0])
    assert losses.matching(scores, labels) == cross_entropy(scores.mean(1), labels)


@torch.no_grad()
def test_query_tokens_spliced_into_a_text_encoder():
    make_importable()
    from atelier.models.unifashion.query_tokens import QueryAdapter, encode_with_queries
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(4)
    model = CLIPTextModel(CLIPTextConfig(vocab_size=30, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                                         num_attention_heads=2, max_position_embeddings=20)).eval()  # fmt: skip
    ids = torch.randint(0, 28, (2, 6))
    plain = encode_with_queries(model.text_model, ids, torch.zeros(2, 0, 16))
    assert torch.allclose(plain, model(input_ids=ids).last_hidden_state, atol=1e-5)
    queries = QueryAdapter(16, 64).eval()(torch.randn(2, 5, 16))
    mixed = encode_with_queries(model.text_model, ids, queries)
    assert mixed.shape == (2, 11, 16)
    # Causal: the two tokens before the queries do not see them, everything behind does.
    assert torch.allclose(mixed[:, :2], plain[:, :2], atol=1e-5) and not torch.allclose(
        mixed[:, 7:], plain[:, 2:], atol=1e-3
    )
    with pytest.raises(ValueError, match="has 20 places"):
        encode_with_queries(model.text_model, ids, torch.zeros(2, 15, 16))
