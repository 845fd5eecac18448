"""The studio encoder in the host: what it gives is the network's, and the shipped weights know drawn garments."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def drawn(host):
    """(pictures [40,256,192,3], captions) of Drawn Wardrobe."""
    from atelier.croquis.drawn_wardrobe import draw_wardrobe
    from atelier.host.images import from_uint8

    pictures, captions = draw_wardrobe(9, 40, "all", 192, 256)
    return from_uint8(pictures), captions


@pytest.fixture(scope="module")
def encoder(host):
    from atelier.host.wardrobe.studio_encoder import StudioEncoder

    return StudioEncoder()


@pytest.fixture
def tiny(host, tmp_path):
    from atelier.host.wardrobe.studio_encoder import StudioEncoder
    from atelier.models.studio.wardrobe import wardrobe_network as net

    def make(seed):
        torch.manual_seed(seed)
        config = net.WardrobeConfig(trunk=(4, 8, 8, 16), width=16, depth=2, heads=2, queries=3, dim=8)
        net.save_network(net.WardrobeNetwork(config).eval(), tmp_path / f"{seed}.safetensors")
        return StudioEncoder(tmp_path / f"{seed}.safetensors"), net.load_network(tmp_path / f"{seed}.safetensors")

    return make


def test_vectors_are_the_networks(tiny, drawn):
    from atelier.models.studio.wardrobe import wardrobe_network as net
    from atelier.models.studio.wardrobe.wardrobe_picture import framed
    from atelier.models.studio.wardrobe.wardrobe_words import token_ids

    encoder, network = tiny(0)
    assert (encoder.tokens, encoder.dim, encoder.speaks, encoder.fuses) == (3, 8, True, True)
    pixels = torch.stack(
        [torch.from_numpy(framed((one * 255).round().to(torch.uint8).numpy()).copy()) for one in drawn[0][:3]]
    )
    with torch.no_grad():
        seen = network.see(pixels.permute(0, 3, 1, 2) / 255)
        ids = net.padded([token_ids(text) for text in ("a red dress", "navy", "longer sleeves")])
        expected = {
            "image": network.image_vectors(network.queries(seen)), "text": network.text_vectors(network.text(ids)),
            "fused": network.composed_vectors(network.joint(seen, ids)),
        }  # fmt: skip
    texts = ["a red dress", "navy", "longer sleeves"]
    given = {
        "image": encoder.encode_image(drawn[0][:3]),
        "text": encoder.encode_text(texts),
        "fused": encoder.fuse(drawn[0][:3], texts),
    }
    for name, value in expected.items():
        torch.testing.assert_close(given[name], torch.nn.functional.normalize(value, dim=-1), rtol=0, atol=1e-4)
    assert tiny(1)[0].hash != encoder.hash == tiny(0)[0].hash


def test_words_that_nobody_taught_it_are_refused(tiny, tmp_path):
    from atelier.host.wardrobe.studio_encoder import StudioEncoder

    with pytest.raises(ValueError, match="none of the words in 'zebra quantum'"):
        tiny(0)[0].encode_text(["zebra quantum"])
    with pytest.raises(ValueError, match="missing from the pack"):
        StudioEncoder(tmp_path / "none.safetensors")


def test_encoders_without_words_say_so(host):
    from atelier.host.wardrobe.fashion_encoder import ColourShapeEncoder

    blind = ColourShapeEncoder()
    with pytest.raises(ValueError, match="sees pictures only"):
        blind.encode_text(["a red dress"])
    with pytest.raises(ValueError, match="no joint pass"):
        blind.fuse(torch.zeros(1, 32, 32, 3), ["in red"])


def test_the_shipped_weights_find_garments_by_their_captions(encoder, drawn):
    vectors, texts = encoder.encode_image(drawn[0]), encoder.encode_text(drawn[1])
    scores = torch.einsum("iqd,td->itq", vectors, texts).amax(-1)
    found = (scores.argmax(0) == torch.arange(40)).float().mean()
    assert found > 0.6
    shuffled = scores[:, torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    assert (shuffled.argmax(0) == torch.arange(40)).float().mean() < 0.2


def test_the_shipped_weights_write_captions(encoder, drawn):
    from atelier.craft.prompt.caption_words import concept_and_attributes

    types = [caption.split(",")[0].lower() for caption in drawn[1]]
    short = encoder.write(drawn[0], 40, "short")
    said = [kind.split()[-1] in text.replace("trousers", "pant") for kind, text in zip(types, short, strict=True)]
    other = [
        kind.split()[-1] in text.replace("trousers", "pant")
        for kind, text in zip(types[5:] + types[:5], short, strict=True)
    ]
    assert np.mean(said) > 0.7 > 0.5 > np.mean(other)
    detailed = encoder.write(drawn[0][:8], 40, "detailed")
    assert sum(map(len, detailed)) > sum(map(len, short[:8]))
    assert sum(len(concept_and_attributes(text)[1]) for text in detailed) > 12


def test_doubt_and_confidence_leave_attributes_out(encoder, drawn):
    def count(confidence, doubt=1.0):
        return sum(len(said) for said, _ in encoder.read_attributes(drawn[0][:16], confidence, doubt))

    assert count(0.05) > count(0.9) > count(0.9, 4.0)
    assert count(0.5, 0.3) >= count(0.5)
    categories = [category for _, category in encoder.read_attributes(drawn[0][:16], 0.5)]
    turns = ("upper", "lower", "dress", "upper", "shoes", "bag", "lower", "dress")
    assert np.mean([a == b for a, b in zip(categories, turns * 2, strict=True)]) > 0.8


def test_index_search_caption_and_attributes_in_the_host(run_graph):
    from atelier.nodes.wardrobe import STUDIO

    search = {"count": 3, "method": "q-former", "change_weight": 0.4, "unwanted": "", "unwanted_strength": 0.5,
              "filter": "",
              "variety": 0.0, "hide_same": True, "wardrobe": ["3", 0], "present": ""}  # fmt: skip
    run = run_graph({
        "1": {"class_type": "AtelierDrawnWardrobe", "inputs": {"seed": 3, "count": 12, "garments": "all", "width": 192,
        "height": 256}},
        "2": {"class_type": "AtelierLoadFashionEncoder", "inputs": {"encoder": STUDIO}},
        "3": {"class_type": "AtelierIndexWardrobe", "inputs": {
            "encoder": ["2", 0], "place": "output", "folder": "studio test", "describe": True, "confidence": 0.4,
            "start_over": True, "images": ["1", 0], "captions": ["1", 1]}},
        "4": {"class_type": "AtelierSearchWardrobe", "inputs": {**search, "text": "a bag", "filter": "category: bag"}},
        "5": {"class_type": "ImageFromBatch", "inputs": {"image": ["1", 0], "batch_index": 0, "length": 1}},
        "6": {"class_type": "AtelierSearchWardrobe", "inputs": {**search, "text": "in red", "picture": ["5", 0]}},
        "7": {"class_type": "AtelierGarmentCaption", "inputs": {
            "image": ["5", 0], "style": "professional", "encoder": ["2", 0], "caption": "", "words": "", "change": "",
            "longest": 64}},
        "8": {"class_type": "AtelierGarmentAttributes", "inputs": {
            "image": ["5", 0], "confidence": 0.3, "temperature": 1.0, "colours": 4, "encoder": ["2", 0]}},
        "9": {"class_type": "PreviewImage", "inputs": {"images": ["8", 4]}},
        "10": {"class_type": "PreviewAny", "inputs": {"source": ["7", 0]}},
    })  # fmt: skip
    assert "12 pictures can be found" in run.outputs["3"]["text"][0]
    bags = run.outputs["4"]["atelier_hits"]
    assert bags and all(hit["category"] == "bag" for hit in bags) and all("," in hit["caption"] for hit in bags)
    assert len(run.outputs["6"]["atelier_hits"]) == 3
    assert "concept:" in run.outputs["7"]["text"][0] and "type:" in run.outputs["8"]["text"][0]
