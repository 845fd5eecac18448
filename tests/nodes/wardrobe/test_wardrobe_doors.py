"""The wardrobe nodes with a disk that is full, an index of somebody else's, and links, in the real host."""

import os
import sqlite3

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def closet(host, request):
    folder = host.base / "input" / f"doors_{request.node.name}"[:60].replace("[", "_")
    folder.mkdir(parents=True)
    for number, colour in enumerate(((200, 30, 40), (40, 80, 190), (40, 140, 60))):
        Image.new("RGB", (48, 64), colour).save(folder / f"{number}.png")
    Image.new("RGB", (48, 64), (210, 40, 50)).save(host.base / "input" / "doors_query.png")
    return folder


def graph(folder, picture=True, **search):
    inputs = {"wardrobe": ["2", 0], "text": "", "count": 3, "method": "centred slerp", "change_weight": 0.4,
              "unwanted": "", "unwanted_strength": 0.5, "filter": "", "variety": 0.0, "hide_same": False,
              **({"picture": ["3", 0]} if picture else {}), **search}  # fmt: skip
    index = {"encoder": ["1", 0], "place": "input", "folder": folder.name, "describe": True, "confidence": 0.5,
             "start_over": False}  # fmt: skip
    return {
        "1": {"class_type": "AtelierLoadFashionEncoder", "inputs": {"encoder": "colours and shapes (no model file)"}},
        "2": {"class_type": "AtelierIndexWardrobe", "inputs": index},
        "3": {"class_type": "LoadImage", "inputs": {"image": "doors_query.png"}},
        "4": {"class_type": "AtelierSearchWardrobe", "inputs": inputs},
    }


def test_a_row_that_leads_out_is_refused_and_not_read(run_graph, closet):
    run_graph(graph(closet))
    base = sqlite3.connect(closet / ".atelier-wardrobe" / "items.sqlite")
    with base:
        base.execute("UPDATE items SET path = '../../outside.png' WHERE path = '0.png'")
    base.close()
    with pytest.raises(AssertionError, match=r"names a file outside the wardrobe, '\.\./\.\./outside\.png'"):
        run_graph(graph(closet, count=2))


def test_a_picture_of_a_hit_is_read_inside_the_wardrobe_only(host, closet, tmp_path):
    from atelier.craft.wardrobe.wardrobe_store import Item
    from atelier.host.wardrobe.index_and_search import picture_of

    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    assert picture_of(str(closet), Item("0.png", 1, 1)).size == (48, 64)
    try:
        (closet / "link.png").symlink_to(tmp_path / "outside.png")
    except OSError:
        pytest.skip("links need a permission here")
    for path in ("link.png", "../doors_query.png", str(tmp_path / "outside.png")):
        with pytest.raises(ValueError, match="leads out of the folder"):
            picture_of(str(closet), Item(path, 1, 1))


def test_a_search_without_room_for_its_thumbnails_goes_on(run_graph, closet, monkeypatch):
    from atelier.craft.whole_files import NotWritten
    from atelier.host import images

    def full(*_):
        raise NotWritten("a.png cannot be written into temp (the disk is full): make room on it, and try again.")

    monkeypatch.setattr(images, "preview", full)
    run = run_graph({**graph(closet), "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 1]}}})
    assert len(run.outputs["5"]["images"]) == 3 and not run.outputs.get("4", {}).get("atelier_hits")


def test_what_is_kept_for_next_time_need_not_be_kept(host, tmp_path, monkeypatch):
    from atelier.craft.wardrobe.store_errors import StoreFailed
    from atelier.craft.wardrobe.wardrobe_store import WardrobeStore
    from atelier.host.wardrobe.index_and_search import _kept

    (tmp_path / "w").mkdir()
    with WardrobeStore(tmp_path / "w", create=True) as store:
        store.set_fact("mean", b"123")  # somebody else's, of another size
        assert _kept(store, "mean", 2, lambda: torch.ones(2)).tolist() == [1, 1]
        assert _kept(store, "mean", 2, lambda: torch.zeros(2)).tolist() == [1, 1]

        def full(*_):
            raise StoreFailed("full")

        monkeypatch.setattr(store, "set_fact", full)
        assert _kept(store, "other", 2, lambda: torch.ones(2)).tolist() == [1, 1]


def test_pictures_are_not_saved_through_a_link(host, tmp_path):
    from atelier.host.wardrobe.index_and_search import keep_pictures

    folder, outside = tmp_path / "w", tmp_path / "outside.txt"
    folder.mkdir()
    outside.write_text("kept")
    image = torch.full((1, 8, 8, 3), 0.5)
    (name,) = keep_pictures(str(folder), image, ["a grey square"])
    (folder / name).with_suffix(".txt").unlink()
    try:
        (folder / name).with_suffix(".txt").symlink_to(outside)
    except OSError:
        pytest.skip("links need a permission here")
    keep_pictures(str(folder), image, ["a grey square"])
    assert outside.read_text() == "kept"
    assert sorted(os.listdir(folder)) == sorted([name, name.replace(".png", ".txt")])


@pytest.mark.parametrize("thumbnail", [None, b"no picture", "text"])
def test_an_index_without_small_pictures_is_one_sentence(run_graph, closet, thumbnail):
    run_graph(graph(closet))
    base = sqlite3.connect(closet / ".atelier-wardrobe" / "items.sqlite")
    with base:
        base.execute("UPDATE items SET thumbnail = ?", (thumbnail,))
    base.close()
    with pytest.raises(AssertionError, match=r"no readable small picture of .* delete the folder \.atelier-wardrobe"):
        run_graph(graph(closet, count=2))


def test_filters_that_have_no_effect_are_refused(run_graph, closet):
    with pytest.raises(AssertionError, match=r"asks for 'color'.* it knows category, caption, colour"):
        run_graph(graph(closet, filter="-color: red"))
    with pytest.raises(AssertionError, match="'unwanted' has no effect"):
        run_graph(graph(closet, picture=False, filter="-colour: red", unwanted="shirt"))


def test_more_pairs_than_are_bound_is_one_sentence(host):
    from atelier.host.prompt.bind_attention import _pairs_with_spans
    from atelier.host.prompt.prompt_tokens import PromptTokens

    def tokens(count):
        return PromptTokens("red cuff, " * count, ("red", "cuff", ",") * count, (1.0,) * 3 * count)

    pairs = _pairs_with_spans(tokens(100), "")
    assert [spans for _, spans in pairs] == [[[3 * i], [3 * i + 1]] for i in range(100)]
    with pytest.raises(ValueError, match="101 pairs of words and noun; at most 100"):
        _pairs_with_spans(tokens(101), "")


def test_thumbnails_of_any_size_are_bounded(host):
    import io

    from atelier.craft.wardrobe.wardrobe_store import Item
    from atelier.host.wardrobe.wardrobe_results import _thumbnail

    def item(side):
        out = io.BytesIO()
        Image.fromarray(np.zeros((side, 4, 3), np.uint8)).save(out, "PNG")
        return Item("a.png", 1, 1, thumbnail=out.getvalue())

    assert _thumbnail(item(256)).size == (4, 256)
    with pytest.raises(ValueError, match="4 x 5000 pixels"):
        _thumbnail(item(5000))
