"""Pictures of the shipped graphs for the host's template browser: workflows/<Title>.jpg, by the browser of this machine."""

from __future__ import annotations

import io
import json
import urllib.request
from pathlib import Path

from .browser import find_browser

SIZE = (960, 640)
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.UseNewMenu": "Top", "Comfy.Locale": "en", "Comfy.Minimap.Visible": False}
FIT = """() => {
    const boxes = (app.rootGraph ?? app.graph).nodes.map((n) => n.getBounding());
    const left = Math.min(...boxes.map((b) => b[0])), top = Math.min(...boxes.map((b) => b[1]));
    const right = Math.max(...boxes.map((b) => b[0] + b[2])), bottom = Math.max(...boxes.map((b) => b[1] + b[3]));
    const scale = Math.min(innerWidth / (right - left + 80), innerHeight / (bottom - top + 80));
    app.canvas.ds.scale = scale;
    app.canvas.ds.offset = [innerWidth / scale / 2 - (left + right) / 2, innerHeight / scale / 2 - (top + bottom) / 2];
    app.canvas.setDirty(true, true);
}"""


def write_all(url: str, folder: Path) -> list[Path]:
    """One JPEG for every page form in `folder`, from the host at `url`; none where there is no browser."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    if find_browser() is None:
        return []
    for name, value in SETTINGS.items():
        data = json.dumps(value).encode()
        urllib.request.urlopen(urllib.request.Request(f"{url}/api/settings/{name}", data, method="POST"), timeout=30).close()
    written = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 2 * SIZE[0], "height": 2 * SIZE[1]}, locale="en-US")
        page.goto(url)
        page.wait_for_function("() => window.app && app.extensionManager && app.canvas && document.querySelector('#graph-canvas')")
        page.wait_for_timeout(1500)
        page.evaluate("async () => { await app.extensionManager.command.execute('Workspace.ToggleFocusMode') }")
        for path in sorted(folder.glob("*.json")):
            workflow = json.loads(path.read_text(encoding="utf-8"))
            page.evaluate("async (w) => { await app.loadGraphData(w, true, true, null) }", workflow)
            page.keyboard.press("Escape")
            page.evaluate(FIT)
            page.wait_for_timeout(900)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
            target = path.with_suffix(".jpg")
            shot.save(target, quality=80)
            written.append(target)
        browser.close()
    return written
