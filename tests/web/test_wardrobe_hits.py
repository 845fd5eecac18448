"""Hits of Search Wardrobe in the page: shown after a run, picked by click and by key, and Python takes what
was picked.
"""

import io
import json
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RENDERERS = ["classic", pytest.param("vue", marks=pytest.mark.long)]
NODE = "(type) => (app.rootGraph ?? app.graph).nodes.find((n) => n.type === type)"
COLOURS = {
    "red": (200, 30, 40),
    "blue": (40, 80, 190),
    "green": (40, 140, 60),
    "yellow": (246, 218, 60),
    "grey": (120, 120, 120),
}


def _garment(colour) -> Image.Image:
    picture = np.full((128, 96, 3), 250, np.uint8)
    picture[20:45, 8:88] = colour
    picture[20:110, 28:68] = colour
    return Image.fromarray(picture)


@pytest.fixture(params=RENDERERS)
def search_page(request, host_page):
    """A page with wardrobe -> search -> pick -> saved picture; .host_base is the host's folder."""
    from atelier.dev.publish import workflow_files

    process = request.getfixturevalue(host_page.served_by)
    closet = Path(process.base) / "input" / "closet" / "shirts"
    closet.mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        _garment(colour).save(closet / f"{name}.png")
    (closet / "red.txt").write_text("a red shirt, <img src=x onerror=alert(1)>")
    _garment((210, 40, 50)).save(closet.parent.parent / "wanted.png")
    vue = request.param == "vue"
    host_page.page.evaluate("async (v) => { await app.extensionManager.setting.set('Comfy.VueNodes.Enabled', v) }", vue)
    info = host_page.page.evaluate("async () => (await fetch('/object_info')).json()")

    def node(kind: str, **inputs) -> dict:
        specs = workflow_files.input_specs(info[kind])
        return {"class_type": kind, "inputs": {
            **{name: workflow_files._default(s) for name, s in specs.items() if workflow_files.is_widget(s)},
            **inputs}}  # fmt: skip

    no_file = next(
        c for c in workflow_files.input_specs(info["AtelierLoadFashionEncoder"])["encoder"][0] if "no model" in c
    )
    graph = {
        "1": node("AtelierLoadFashionEncoder", encoder=no_file),
        "2": node("AtelierIndexWardrobe", encoder=["1", 0], place="input", folder="closet"),
        "3": node("LoadImage", image="wanted.png"),
        "4": node("AtelierSearchWardrobe", wardrobe=["2", 0], picture=["3", 0], count=5, hide_same=False),
        "5": node("AtelierPick", hits=["4", 0]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="picked"),
    }
    host_page.load(workflow_files.page_form(graph, info))
    host_page.page.evaluate(f"""() => {{ const n = ({NODE})('AtelierSearchWardrobe'); app.canvas.ds.scale = 0.8;
        app.canvas.ds.offset = [-n.pos[0] + 200, -n.pos[1] + 80]; app.canvas.setDirty(true, true) }}""")
    return host_page


def _run(page) -> dict:
    run = page.queue_and_wait()
    assert run["status"]["status_str"] == "success", run["status"]
    return run


def _picked_colour(page, run: dict) -> str:
    picture = next(i for output in run["outputs"].values() for i in output.get("images", []) if i["type"] == "output")
    with urllib.request.urlopen(f"{page.url}/view?{urllib.parse.urlencode(picture)}") as answer:
        middle = np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))[64, 48].astype(int)
    return min(COLOURS, key=lambda name: np.abs(middle - COLOURS[name]).sum())


def _number(page) -> int:
    return page.page.evaluate(f"() => ({NODE})('AtelierPick').widgets.find((w) => w.name === 'number').value")


def _cell(page, number: int):
    return page.page.locator(f"[data-hits] [data-number='{number}']")


def _shows(page, number: int) -> bool:
    return _cell(page, number).get_attribute("aria-selected") == "true"


def test_the_clicked_hit_is_the_one_that_is_used(search_page):
    page = search_page.page
    first = _run(search_page)
    hits = next(output["atelier_hits"] for output in first["outputs"].values() if "atelier_hits" in output)
    colour_of = {hit["number"]: hit["path"].split("/")[1].removesuffix(".png") for hit in hits}
    assert sorted(colour_of.values()) == sorted(COLOURS) and colour_of[1] == "red"
    assert _picked_colour(search_page, first) == "red"
    page.wait_for_selector("[data-hits] [data-number='5']")
    assert _shows(search_page, 1) and page.locator("[data-hits] img").count() == 5
    assert "<img src=x" in _cell(search_page, 1).get_attribute("title"), "a caption is text, whatever is in it"
    assert page.locator("img[src='x']").count() == 0

    _cell(search_page, 3).click()
    assert _number(search_page) == 3 and _shows(search_page, 3) and not _shows(search_page, 1)
    assert search_page.prompt()["5"]["inputs"]["number"] == 3, "what the page sends is a plain number"
    second = _run(search_page)
    assert _picked_colour(search_page, second) == colour_of[3]

    page.keyboard.press("ArrowRight")  # the focus is on the clicked hit
    assert _number(search_page) == 3, "looking further changes nothing"
    page.keyboard.press("Enter")
    assert _number(search_page) == 4 and _shows(search_page, 4)
    page.evaluate(f"""() => {{ const n = ({NODE})('AtelierPick'), w = n.widgets.find((w) => w.name === 'number');
        w.value = 2; w.callback(2) }}""")
    page.wait_for_timeout(100)
    assert _shows(search_page, 2), "a number typed into Pick shows in the grid"

    saved = page.evaluate("() => (app.rootGraph ?? app.graph).serialize()")
    assert "filename" not in json.dumps(
        [n.get("widgets_values") for n in saved["nodes"] if n["type"] == "AtelierSearchWardrobe"]
    )
    search_page.load(saved)
    assert _number(search_page) == 2 and search_page.faults == []


def test_what_nodes_say_can_be_read(search_page):
    """In the page's own box, with a height, in either renderer; nothing stands there before the run."""
    page = search_page.page
    visible = f"""() => {{ const box = ({NODE})('AtelierIndexWardrobe').atelierText.root;
        return [box.checkVisibility(), box.textContent, box.getBoundingClientRect().height] }}"""
    page.evaluate(f"""() => {{ const n = ({NODE})('AtelierIndexWardrobe');
        app.canvas.ds.offset = [-n.pos[0] + 200, -n.pos[1] + 80];
        app.canvas.setDirty(true, true) }}""")
    assert page.evaluate(visible)[:2] == [False, ""]
    _run(search_page)
    page.wait_for_timeout(600)
    shown, text, height = page.evaluate(visible)
    assert shown and "5 pictures can be found" in text and height > 15
    assert search_page.faults == []
