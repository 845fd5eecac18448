"""The studio wardrobe network: its words, its four passes, its file, how it sees pictures."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from atelier.models.studio.wardrobe import wardrobe_attributes as attributes
from atelier.models.studio.wardrobe import wardrobe_network as net
from atelier.models.studio.wardrobe import wardrobe_words as words
from atelier.models.studio.wardrobe.wardrobe_picture import SIDE, framed
from safetensors.torch import save_file

TINY = net.WardrobeConfig(trunk=(4, 8, 8, 16), width=16, depth=2, heads=2, queries=3, dim=8)
DRESS = {"type": "dress", "colour": "navy", "second colour": "white", "pattern": "dots", "fit": "loose",
         "length": "long",
         "sleeve length": "short", "sleeve type": "puffed", "collar": "v", "hem": "ruffle"}  # fmt: skip
BAG = {"type": "shoulder bag", "colour": "black", "pattern": "plain"}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return net.WardrobeNetwork(TINY).eval()


@pytest.fixture
def pictures():
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("said", [DRESS, BAG])
def test_captions_are_read_back(said):
    assert words.read_caption(words.caption_ids(said)) == said
    assert attributes.named(attributes.numbered(said)) == said
    full = words.read_caption(words.token_ids(words.sentence(said, "detailed"))[1:])
    assert full == said
    for style in ("short", "professional"):
        read = words.read_caption(words.token_ids(words.sentence(said, style))[1:])
        assert read.items() <= said.items() and {"type", "colour"} <= set(read)


@pytest.mark.parametrize("text,tokens", [
    ("A navy dress with long puffed sleeves", ["navy", "dress", "with", "long sleeve", "puffed sleeve"]),
    ("striped T-shirt, crew neck", ["stripes", "tee", "round collar"]),
    ("wide black pants", ["loose", "black", "trousers"]),
    ("with LONGER sleeves instead of short sleeves", ["with", "longer sleeve", "instead of", "short sleeve"]),
    ("zebra quantum", []),
])  # fmt: skip
def test_what_people_write_is_understood(text, tokens):
    assert words.known_words(text) == tokens


def test_a_change_says_only_what_differs():
    rng = np.random.default_rng(0)
    red = {**DRESS, "colour": "red"}
    told = {word for _ in range(20) for word in words.words_of(words.change_ids(DRESS, red, rng)[1:])}
    assert "red" in told and told <= {"red", "with", "instead of", "navy"}
    longer = {**DRESS, "sleeve length": "long"}
    told = {word for _ in range(40) for word in words.words_of(words.change_ids(DRESS, longer, rng)[1:])}
    assert {"longer sleeve", "long sleeve"} <= told and "shorter sleeve" not in told


def test_a_query_fits_what_it_says():
    rng = np.random.default_rng(3)
    for _ in range(30):
        ids, kinds = words.query_ids(DRESS, rng, 0.5)
        read = words.read_caption(ids[1:])
        assert set(read.values()) <= set(DRESS.values()) and kinds >= {
            k for k in read if k not in ("colour", "second colour")
        }


def test_the_language_pass_has_the_queries_of_the_picture_pass(network, pictures):
    seen = network.see(pictures)
    ids = torch.randint(4, 60, (3, 7), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = words.DEC
    queries, logits = network.language(seen, ids)
    torch.testing.assert_close(queries, network.queries(seen), rtol=0, atol=1e-5)
    other = ids.clone()
    other[:, 5:] = 9
    later = network.language(seen, other)[1]
    torch.testing.assert_close(later[:, :5], logits[:, :5], rtol=0, atol=1e-5)
    assert (later[:, 6] - logits[:, 6]).abs().max() > 1e-3
    joint = network.joint(seen, ids)[:, : TINY.queries]
    assert (joint - queries).abs().max() > 1e-3  # there the queries do see the text


def test_padding_changes_nothing(network, pictures):
    ids = net.padded([[words.CLS, 10, 30], [words.CLS, 10, 30, 40, 50]])
    alone = network.text(ids[:1, :3])[:, 0]
    torch.testing.assert_close(network.text(ids)[:1, 0], alone, rtol=0, atol=1e-5)
    seen = network.see(pictures[:2])
    together = network.composed_vectors(network.joint(seen, ids))[:1]
    torch.testing.assert_close(
        together, network.composed_vectors(network.joint(seen[:1], ids[:1, :3])), rtol=0, atol=1e-5
    )


def test_the_written_out_attention_is_the_fused_one(network, pictures):
    ids = net.padded([[words.CLS, 10, 30], [words.CLS, 10, 30, 40], [words.CLS, 4]])
    slow = network.joint(network.see(pictures), ids)
    assert slow.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(network.joint(network.see(pictures), ids), slow.detach(), rtol=0, atol=1e-5)


def test_captions_stop_and_follow_the_logits(network, pictures):
    rows, chances = network.write(pictures, doubt=2.0)
    assert len(rows) == 3 and all(words.SEP not in row and len(row) <= words.LONGEST_TEXT - 2 for row in rows)
    assert torch.allclose(chances.sum(-1), torch.ones(chances.shape[:2]))
    sharper = network.write(pictures, doubt=0.5)[1]
    assert sharper.amax(-1).mean() > chances.amax(-1).mean()
    ids = torch.tensor([[words.DEC, *rows[0]]])
    with torch.no_grad():
        following = network.language(network.see(pictures[:1]), ids)[1][0].argmax(-1)
    assert following[: len(rows[0])].tolist() == rows[0]


def test_file_and_back(network, pictures, tmp_path):
    net.save_network(network, tmp_path / "w.safetensors", "a note")
    back = net.load_network(tmp_path / "w.safetensors")
    assert back.config == TINY
    with torch.no_grad():
        torch.testing.assert_close(back.see(pictures), network.see(pictures), rtol=0, atol=2e-2)
    save_file({"a": torch.zeros(1)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(ValueError, match="no studio wardrobe network"):
        net.load_network(tmp_path / "x.safetensors")
    about = {"format": "wardrobe", "vocabulary": ["other"], "side": SIDE, "network": asdict(TINY)}
    save_file({"a": torch.zeros(1)}, str(tmp_path / "y.safetensors"), {"atelier": json.dumps(about)})
    with pytest.raises(ValueError, match="another vocabulary"):
        net.load_network(tmp_path / "y.safetensors")


def test_a_picture_is_seen_by_its_garment():
    sheet = np.full((256, 192, 3), 250, np.uint8)
    sheet[60:160, 50:130] = (200, 30, 40)
    moved = np.full((400, 300, 3), 250, np.uint8)
    moved[200:300, 190:270] = (200, 30, 40)
    np.testing.assert_allclose(framed(sheet).astype(int), framed(moved).astype(int), atol=2)
    assert framed(sheet).shape == (SIDE, SIDE, 3) and (framed(sheet)[SIDE // 2, SIDE // 2] == (200, 30, 40)).all()
    with pytest.raises(ValueError, match="uint8"):
        framed(sheet.astype(np.float32))
