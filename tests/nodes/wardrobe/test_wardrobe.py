"""Index Wardrobe, Search Wardrobe and Pick in the real host, with encoders that need no download."""

import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (200, 30, 40), "blue": (40, 80, 190), "green": (40, 140, 60), "yellow": (246, 218, 60)}


def garment(colour, kind, size=(96, 128)):
    """A flat shape on white: a T for a top, a wedge for a skirt."""
    picture = np.full((size[1], size[0], 3), 250, np.uint8)
    if kind == "top":
        picture[20:45, 8:88] = colour
        picture[20:110, 28:68] = colour
    else:
        for row in range(20, 110):
            half = 12 + (row - 20) // 4
            picture[row, 48 - half : 48 + half] = colour
    return picture


@pytest.fixture
def closet(host, request):
    folder = host.base / "input" / f"closet_{request.node.name}"[:60]
    for kind, sub in (("top", "shirts"), ("skirt", "skirts")):
        (folder / sub).mkdir(parents=True)
        for name, colour in COLOURS.items():
            Image.fromarray(garment(colour, kind)).save(folder / sub / f"{name}.png")
    (folder / "shirts" / "red.txt").write_text("a red shirt")
    Image.fromarray(garment((220, 40, 50), "top", (90, 120))).save(host.base / "input" / "query.png")
    return folder


def graph(folder, **search):
    return {
        "1": {"class_type": "AtelierLoadFashionEncoder", "inputs": {"encoder": "colours and shapes (no model file)"}},
        "2": {"class_type": "AtelierIndexWardrobe", "inputs": {
            "encoder": ["1", 0], "place": "input", "folder": folder.name, "describe": True, "confidence": 0.5,
            "start_over": False}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "query.png"}},
        "4": {"class_type": "AtelierSearchWardrobe", "inputs": {
            "wardrobe": ["2", 0], "text": "", "count": 3, "method": "centred slerp", "change_weight": 0.4,
            "unwanted": "",
            "unwanted_strength": 0.5, "filter": "", "variety": 0.0, "hide_same": False, "picture": ["3", 0], **search}},
        "5": {"class_type": "AtelierPick", "inputs": {"hits": ["4", 0], "number": 1, "if_unknown": "stop"}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
    }  # fmt: skip


def paths(run):
    return [row["path"] for row in run.outputs["4"]["atelier_hits"]]


def test_finds_the_same_colour_and_cut_first(run_graph, closet):
    run = run_graph(graph(closet))
    assert paths(run)[0] == "shirts/red.png"
    assert run.outputs["4"]["atelier_hits"][0]["category"] == "upper"
    assert run.outputs["4"]["atelier_hits"][0]["caption"] == "a red shirt"
    assert run.outputs["6"]["images"]
    # Control: a green skirt as the query finds another garment.
    Image.fromarray(garment(COLOURS["green"], "skirt")).save(closet.parent / "query.png")
    assert paths(run_graph(graph(closet)))[0] == "skirts/green.png"


def test_each_hit_comes_with_its_own_thumbnail(run_graph, closet, host):
    """The page shows these and sets Pick's number; the colour in the middle says whose thumbnail it is."""
    prompt = graph(closet, count=8)
    hits = run_graph({key: prompt[key] for key in "1234"}).outputs["4"]["atelier_hits"]  # runs with nothing behind it
    assert [hit["number"] for hit in hits] == list(range(1, 9))
    temp = host.folder_paths.get_temp_directory()
    for hit in hits:
        assert hit["type"] == "temp"
        thumbnail = Image.open(f"{temp}/{hit['subfolder']}/{hit['filename']}").convert("RGB")
        middle = thumbnail.getpixel((thumbnail.width // 2, thumbnail.height // 2))
        name = hit["path"].split("/")[1].removesuffix(".png")
        assert max(abs(a - b) for a, b in zip(middle, COLOURS[name], strict=True)) < 12, hit["path"]


def test_filter_by_category_and_palette(run_graph, closet):
    assert paths(run_graph(graph(closet, filter="category: lower")))[0] == "skirts/red.png"
    only = paths(run_graph(graph(closet, filter="colour: blue, -category: upper", count=8)))
    assert only == ["skirts/blue.png"]
    with pytest.raises(AssertionError, match="found nothing"):
        run_graph(graph(closet, filter="category: bag"))


def test_a_new_picture_is_found_in_the_next_run(run_graph, closet):
    run_graph(graph(closet))
    Image.fromarray(garment((220, 40, 50), "top", (90, 120))).save(closet / "shirts" / "aa.png")
    run = run_graph(graph(closet))
    assert paths(run)[0] == "shirts/aa.png"
    assert "1 new" in run.outputs["2"]["text"][0] and "8 unchanged" in run.outputs["2"]["text"][0]


def test_hide_same_leaves_the_query_out(run_graph, closet):
    Image.fromarray(garment(COLOURS["red"], "top")).save(closet.parent / "query.png")
    assert paths(run_graph(graph(closet)))[0] == "shirts/red.png"
    assert "shirts/red.png" not in paths(run_graph(graph(closet, hide_same=True, count=8)))


def test_words_are_refused_by_an_encoder_without_words(run_graph, closet):
    with pytest.raises(AssertionError, match="sees pictures only"):
        run_graph(graph(closet, text="navy blazer"))


@pytest.mark.parametrize("folder", ["..", "../..", "/", "closet/../../secret"])
def test_no_path_leads_out_of_the_hosts_folders(host, folder):
    from atelier.host.wardrobe.wardrobe_folders import wardrobe_folder

    with pytest.raises(ValueError, match="leads out of"):
        wardrobe_folder("input", folder)


def test_a_link_does_not_lead_out_either(host, tmp_path):
    from atelier.host.wardrobe.wardrobe_folders import wardrobe_folder

    link = host.base / "input" / "outside"
    try:
        link.symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("links need a permission here")
    with pytest.raises(ValueError, match="leads out of"):
        wardrobe_folder("input", "outside")
    link.unlink()


def test_pictures_given_to_the_index_are_kept_once(run_graph, closet, host):
    prompt = graph(closet)
    prompt["2"]["inputs"] |= {"images": ["3", 0], "captions": "a red top"}
    run = run_graph(prompt)
    assert run.outputs["4"]["atelier_hits"][0]["caption"] == "a red top"
    run_graph(prompt)
    assert len(list(closet.glob("*.png"))) == 1


def test_pick_asks_where_the_category_is_unknown(run_graph, closet):
    Image.fromarray(garment((220, 40, 50), "top", (90, 120))).save(closet / "zz.png")
    with pytest.raises(AssertionError, match=r"does not know the category of zz\.png"):
        run_graph(graph(closet))
    prompt = graph(closet)
    prompt["5"]["inputs"]["if_unknown"] = "upper"
    run_graph(prompt)


def test_another_encoder_is_refused_until_started_over(run_graph, closet, host, tmp_path):
    from atelier.host.wardrobe.fashion_encoder import ColourShapeEncoder
    from atelier.host.wardrobe.index_and_search import index

    run_graph(graph(closet))
    other = ColourShapeEncoder()
    other.hash = "0" * 32
    with pytest.raises(ValueError, match="indexed with 'colours and shapes'"):
        index(str(closet), other, describe=False, confidence=0.5, start_over=False)
    assert index(str(closet), other, describe=False, confidence=0.5, start_over=True).added == 8


def test_cancel_keeps_what_is_done(host, closet, monkeypatch):
    import comfy.model_management as management
    from atelier.craft.wardrobe.wardrobe_store import WardrobeStore
    from atelier.host.wardrobe import fashion_encoder
    from atelier.host.wardrobe import index_and_search as wardrobe

    encoder = fashion_encoder.ColourShapeEncoder()
    asked = 0

    def interrupt():
        nonlocal asked
        asked += 1
        if asked == 6:
            raise management.InterruptProcessingException()

    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", interrupt)
    monkeypatch.setattr(wardrobe, "BATCH", 2)
    with pytest.raises(management.InterruptProcessingException):
        wardrobe.index(str(closet), encoder, describe=False, confidence=0.5, start_over=False)
    with WardrobeStore(closet) as store:
        done = store.count()[0]
    assert 0 < done < 8
    monkeypatch.undo()
    report = wardrobe.index(str(closet), encoder, describe=False, confidence=0.5, start_over=False)
    assert (report.unchanged, report.findable) == (done, 8)
