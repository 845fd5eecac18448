"""The part editor in the host's page: choose, paint, undo, save, reload, queue; and the mask that Python makes
of it.
"""

import io
import json
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

SIZE = (192, 256)
RENDERERS = ["classic", pytest.param("vue", marks=pytest.mark.long)]
EDITOR = "() => (app.rootGraph ?? app.graph).nodes.find((n) => n.type === 'AtelierBodyPartMaskEditor')"
VALUE = f"() => ({EDITOR})().widgets.find((w) => w.name === 'edit').value"


@pytest.fixture(params=RENDERERS)
def editor_page(request, host_page):
    """The page with a mask editor whose mask is saved; the graph is laid out by the pack's own tool."""
    from atelier.dev.publish import workflow_files

    vue = request.param == "vue"
    host_page.page.evaluate("async (v) => { await app.extensionManager.setting.set('Comfy.VueNodes.Enabled', v) }", vue)
    info = host_page.page.evaluate("async () => (await fetch('/object_info')).json()")
    spec = workflow_files.input_specs(info["AtelierBodyPartMaskEditor"])
    inputs = {name: workflow_files._default(s) for name, s in spec.items() if workflow_files.is_widget(s)}
    inputs |= {"width": SIZE[0], "height": SIZE[1], "feather": 0}
    graph = {
        "1": {"class_type": "AtelierBodyPartMaskEditor", "inputs": inputs},
        "2": {"class_type": "MaskToImage", "inputs": {"mask": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "part_editor_test"}},
    }
    workflow = workflow_files.page_form(graph, info)
    workflow["nodes"][0]["size"] = [460, 900]
    host_page.load(workflow)
    host_page.page.evaluate(
        "() => { app.canvas.ds.scale = 0.8; app.canvas.ds.offset = [420, 40]; app.canvas.setDirty(true, true) }"
    )
    host_page.page.wait_for_selector("[data-part-canvas]")
    host_page.page.wait_for_timeout(800)
    return host_page


def _at(host_page, x: float, y: float) -> tuple[float, float]:
    """Page coordinates of a point given as shares of the editor's frame."""
    box = host_page.page.evaluate(
        f"""() => {{ const e = ({EDITOR})().atelierEditor, b = e.canvas.getBoundingClientRect(), v = e.view(),
            k = b.width / e.canvas.clientWidth;
            return [b.left + k * v.left, b.top + k * v.top, k * v.width, k * v.height] }}"""
    )
    return box[0] + x * box[2], box[1] + y * box[3]


def _value(host_page) -> dict:
    text = host_page.page.evaluate(VALUE)
    return json.loads(text) if text else {}


def _drag(host_page, *points: tuple[float, float]) -> None:
    mouse = host_page.page.mouse
    mouse.move(*_at(host_page, *points[0]))
    mouse.down()
    for point in points[1:]:
        mouse.move(*_at(host_page, *point), steps=6)
    mouse.up()
    host_page.page.wait_for_timeout(150)


def _chosen(host_page) -> set[str]:
    return {name for name, state in _value(host_page).get("parts", {}).items() if state["on"]}


def _saved_mask(host_page, run: dict) -> np.ndarray:
    picture = next(i for output in run["outputs"].values() for i in output.get("images", []) if i["type"] == "output")
    with urllib.request.urlopen(f"{host_page.url}/view?{urllib.parse.urlencode(picture)}") as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("L")) > 127


def test_choose_paint_undo_save_reload_queue(editor_page):
    page = editor_page.page
    page.mouse.click(*_at(editor_page, 0.375, 0.29))  # the figure's right upper arm
    assert _chosen(editor_page) == {"right_upper_arm"}
    page.keyboard.down("Shift")
    page.mouse.click(*_at(editor_page, 0.625, 0.29))
    page.keyboard.up("Shift")
    assert _chosen(editor_page) == {"right_upper_arm", "left_upper_arm"}

    page.keyboard.press("b")  # the focus is in the editor since the click
    _drag(editor_page, (0.2, 0.8), (0.3, 0.8))
    painted = _value(editor_page)
    assert len(painted["strokes"]) == 1 and painted["strokes"][0]["t"] == "b"
    first, last = painted["strokes"][0]["pts"][0], painted["strokes"][0]["pts"][-1]
    assert np.allclose(first, (0.2, 0.8), atol=0.01) and np.allclose(last, (0.3, 0.8), atol=0.01)
    nodes = page.evaluate("() => (app.rootGraph ?? app.graph).nodes.length")
    page.keyboard.press("Control+z")
    assert not _value(editor_page)["strokes"]
    page.keyboard.press("Delete")  # reaches the editor, not the page, which would delete the node
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    assert page.evaluate("() => (app.rootGraph ?? app.graph).nodes.length") == nodes

    page.keyboard.press("b")
    _drag(editor_page, (0.2, 0.8), (0.3, 0.8))
    before = page.evaluate(VALUE)
    assert before
    saved = page.evaluate("() => (app.rootGraph ?? app.graph).serialize()")
    editor_page.load(saved)
    assert page.evaluate(VALUE) == before
    assert editor_page.prompt()["1"]["inputs"]["edit"] == before

    # The host sends nothing of a node before an output that it still keeps, as after this test in another renderer.
    page.evaluate(
        "async () => { await fetch('/free', { method: 'POST', body: JSON.stringify({ free_memory: true }) }) }"
    )
    run = editor_page.queue_and_wait()
    assert run["status"]["status_str"] == "success", run["status"]
    mask = _saved_mask(editor_page, run)
    assert mask.shape == SIZE[::-1]
    assert mask[int(0.8 * SIZE[1]), int(0.25 * SIZE[0])], "the stroke is in Python's mask"
    assert not mask[int(0.8 * SIZE[1]), int(0.6 * SIZE[0])]
    text = f"() => {{ const {{ root }} = ({EDITOR})().atelierText; return root.checkVisibility() && root.textContent }}"
    said = page.wait_for_function(text).json_value()  # the page hears of the run a little later than its history
    assert said and "no pose is connected" in said, "what the node said is shown in it"
    assert page.evaluate(VALUE) == before and len(page.evaluate(f"() => ({EDITOR})().serialize().widgets_values")) == 12
    assert editor_page.faults == []


def test_joints_are_dragged(editor_page):
    page = editor_page.page
    page.mouse.click(*_at(editor_page, 0.5, 0.3))
    page.keyboard.press("v")
    _drag(editor_page, (0.675, 0.465), (0.85, 0.3))
    assert np.allclose(_value(editor_page)["joints"]["left_wrist"][:2], (0.85, 0.3), atol=0.012)


def test_the_editor_stays_inside_a_narrow_node(editor_page):
    graph = editor_page.page.evaluate("() => (app.rootGraph ?? app.graph).serialize()")
    graph["nodes"][0]["size"] = [380, 850]
    editor_page.load(graph)
    editor_page.page.wait_for_timeout(800)
    right = editor_page.page.evaluate(
        f"""() => {{ const n = ({EDITOR})(), e = n.atelierEditor, ds = app.canvas.ds;
            const edge = (one) => one.getBoundingClientRect().right, drawn = e.root.closest('[data-node-id]');
            const left = app.canvas.canvas.getBoundingClientRect().left;
            const node = drawn ? edge(drawn) : left + (n.pos[0] + n.size[0] + ds.offset[0]) * ds.scale;
            return {{ node, editor: edge(e.root), list: edge(e.list) }} }}"""
    )
    assert right["list"] <= right["editor"] <= right["node"]


def test_foreign_values_open_without_a_fault(editor_page):
    junk = [
        "", "{", "[]", "null", "7", '"x"', '{"v":1}', '{"v":99,"parts":{}}', '{"v":1,"parts":[]}',
        '{"v":1,"parts":{"nose":{}}}',
        '{"v":1,"strokes":[{"p":"hem"}]}', '{"v":1,"strokes":"no"}', '{"v":1,"joints":{"neck":["a",2]}}',
        '{"v":1,"joints":{"neck":[1e400,2]}}', '{"v":1,"parts":{"<img src=x onerror=alert(1)>":{"on":true}}}',
        '{"v":"1"}',
    ]  # fmt: skip
    for value in junk:
        editor_page.page.evaluate(f"(v) => {{ ({EDITOR})().widgets.find((w) => w.name === 'edit').value = v }}", value)
    newer = '{"v":99,"parts":{}}'
    editor_page.page.evaluate(f"(v) => {{ ({EDITOR})().widgets.find((w) => w.name === 'edit').value = v }}", newer)
    assert editor_page.page.evaluate(VALUE) == newer, "a newer version's drawing is kept as it is"
    assert editor_page.page.locator("img[src='x']").count() == 0
    assert editor_page.faults == []


def test_the_preview_is_pythons_mask(host_page):
    from atelier.craft.body import body_parts, part_edits

    drawn = host_page.page.evaluate(
        """async ([w, h]) => {
            const m = await import('/extensions/atelier/editor/body.mjs');
            const body = new m.Body(m.FRONT.map(([x, y]) => [x * w, y * h, 1]), w, h);
            return Object.fromEntries(m.PARTS.filter((p) => p !== 'free').map((part) => {
                const shape = body.shape(part), rows = [];
                for (let y = 0; y < h; y++) {
                    let row = '';
                    for (let x = 0; x < w; x++) row += shape(x, y) ? '1' : '0';
                    rows.push(row);
                }
                return [part, rows];
            }));
        }""",
        list(SIZE),
    )
    assert set(drawn) | {"free"} == set(part_edits.PART_IDS)
    joints = part_edits.figure_joints(part_edits.PartEdits(), *SIZE)
    for part, rows in drawn.items():
        here = np.array([[c == "1" for c in row] for row in rows])
        body = body_parts.Body(joints, *SIZE)
        there = body_parts.part_mask(body, part.replace("_", " "))
        overlap = (here & there).sum() / max((here | there).sum(), 1)
        assert overlap > 0.98, f"{part}: {overlap:.3f}"


def test_limits_are_pythons(host_page):
    from atelier.craft.body import part_edits

    limits = host_page.page.evaluate("async () => (await import('/extensions/atelier/editor/model.mjs')).LIMITS")
    assert limits == {
        "bytes": part_edits.MAX_BYTES, "strokes": part_edits.MAX_STROKES, "strokePoints": part_edits.MAX_STROKE_POINTS,
        "points": part_edits.MAX_POINTS, "radius": list(part_edits.RADII),
    }  # fmt: skip
