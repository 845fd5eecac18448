"""Pictures of the Body-Part Mask Editor in the page: docs/editor-classic.jpg and docs/editor-vue.jpg.

    python dev.py screenshots

A browser opens the shipped workflow "Masks from the body", runs it, and does what an artist would: chooses parts,
paints, moves a joint.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

from ...craft.whole_files import write_bytes
from ..setup.browser import find_browser
from ..setup.host_files import find_host
from ..setup.host_process import HostProcess
from .workflow_files import ROOT

WORKFLOW, NODE = "Masks from the body", "AtelierBodyPartMaskEditor"
BYTES = 150_000
SETTINGS = {
    "Comfy.TutorialCompleted": True, "Comfy.UseNewMenu": "Top", "Comfy.Locale": "en",
    "Comfy.VueNodes.AutoScaleLayout": False,
    "Comfy.Minimap.Visible": False,
}  # fmt: skip
FIND = f"() => app.graph.nodes.filter((n) => n.type === '{NODE}').at(-1)"
READY = f"() => window.app && app.extensionManager && app.canvas && !!LiteGraph.registered_node_types['{NODE}']"


def run(args: list[str]) -> int:
    from playwright.sync_api import sync_playwright

    browser = find_browser()
    if browser is None:
        print("No Chromium, Chrome or Edge was found: install one, or set CHROME_PATH.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as base, HostProcess(find_host(ROOT), ROOT, Path(base)) as process:
        for name, value in SETTINGS.items():
            process.client.call(f"/api/settings/{name}", value)
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-dev-shm-usage"]
            chromium = playwright.chromium.launch(executable_path=browser, headless=True, args=flags)
            for renderer in ("classic", "vue"):
                # The host says nothing of a node whose result it still keeps: without this the second page shows none.
                process.client.call("/free", {"free_memory": True})
                page = chromium.new_page(viewport={"width": 900, "height": 1150}, locale="en-US")
                page.set_default_timeout(240_000)
                picture = _picture(page, process.url, renderer == "vue")
                target = ROOT / "docs" / f"editor-{renderer}.jpg"
                write_bytes(target, _jpg(picture))
                print(
                    f"{target.relative_to(ROOT)}: {picture.width}x{picture.height}, {target.stat().st_size / 1000:.0f}"
                    f" kB"
                )
                page.close()
    return 0


def _picture(page, url: str, vue: bool) -> Image.Image:
    page.goto(url)
    page.wait_for_function(READY)
    page.evaluate("async (v) => { await app.extensionManager.setting.set('Comfy.VueNodes.Enabled', v) }", vue)
    workflow = json.loads((ROOT / "workflows" / f"{WORKFLOW}.json").read_text(encoding="utf-8"))
    page.evaluate("async (w) => { await app.loadGraphData(w, true, true, null) }", workflow)
    page.evaluate("() => app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
    page.evaluate(
        f"""() => {{ const n = ({FIND})(), far = app.graph.nodes.filter((o) => o !== n);
            app.canvas.ds.scale = 1; app.canvas.ds.offset = [-n.pos[0] + 60, -n.pos[1] + 60];
            far.forEach((o, i) => {{ o.pos = [n.pos[0] + 3000, n.pos[1] + 700 * i]; }});
            app.canvas.setDirty(true, true) }}"""
    )
    page.wait_for_timeout(1500)
    page.evaluate("async () => { await app.queuePrompt(0, 1) }")
    page.wait_for_function(f"() => ({FIND})().atelierEditor.picture?.complete")
    page.wait_for_timeout(800)
    _edit(page)
    page.wait_for_timeout(800)
    box = page.evaluate(
        f"""() => {{ const n = ({FIND})(), ds = app.canvas.ds, [x, y, w, h] = n.getBounding();
            const e = n.atelierEditor.root.getBoundingClientRect();
            const left = (x + ds.offset[0]) * ds.scale, top = (y + ds.offset[1]) * ds.scale;
            return [left, top, Math.max(w, e.right - left + 16), Math.max(h, e.bottom - top + 60)] }}"""
    )
    left, top, width, height = (round(value) for value in box)
    clip = {
        "x": max(0, left - 12),
        "y": max(0, top - 12),
        "width": width + 24,
        "height": min(height + 24, 1150 - max(0, top - 12)),
    }
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def _edit(page) -> None:
    """Both upper arms and the torso chosen, a brush stroke, the right wrist moved, the mouse over a part."""
    joint = f"(name) => {{ const e = ({FIND})().atelierEditor; return e.joints()[e.constructor.JOINTS.indexOf(name)] }}"

    def at(x: float, y: float) -> tuple[float, float]:
        return tuple(page.evaluate(
            f"""([x, y]) => {{ const e = ({FIND})().atelierEditor, b = e.canvas.getBoundingClientRect(), v = e.view();
                const k = b.width / e.canvas.clientWidth;
                return [b.left + k * (v.left + x * v.width), b.top + k * (v.top + y * v.height)] }}""",
                [x, y]))  # fmt: skip

    def middle(first: str, second: str) -> tuple[float, float]:
        a, b = page.evaluate(joint, first), page.evaluate(joint, second)
        return at((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)

    page.mouse.click(*middle("right_shoulder", "right_elbow"))
    page.keyboard.down("Shift")
    page.mouse.click(*middle("left_shoulder", "left_elbow"))
    page.keyboard.up("Shift")
    wrist = page.evaluate(joint, "left_wrist")
    page.keyboard.press("b")
    x, y, _ = page.evaluate(joint, "left_elbow")
    page.mouse.move(*at(x, y))
    page.mouse.down()
    page.mouse.move(*at((x + wrist[0]) / 2, (y + wrist[1]) / 2), steps=8)
    page.mouse.up()
    page.keyboard.press("v")
    x, y, _ = page.evaluate(joint, "right_wrist")
    page.mouse.move(*at(x, y))
    page.mouse.down()
    page.mouse.move(*at(x - 0.06, y - 0.05), steps=8)
    page.mouse.up()
    page.keyboard.press("s")
    page.mouse.move(*middle("left_hip", "left_knee"))


def _jpg(picture: Image.Image) -> bytes:
    for quality in range(92, 30, -4):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= BYTES:
            break
    return file.getvalue()
