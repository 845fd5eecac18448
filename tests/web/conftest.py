"""The host's page in a real browser (Chromium, Chrome or Edge, whichever is on the machine)."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest
from atelier.dev.setup.browser import find_browser

ROOT = Path(__file__).resolve().parent.parent.parent

if find_browser() is None:
    collect_ignore_glob = ["test_*.py"]  # `python dev.py test` says so in its last line

READY = """() => window.app && app.extensionManager && app.canvas && window.LiteGraph
    && !!LiteGraph.registered_node_types['AtelierTryOn'] && document.querySelector('#graph-canvas')"""
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.UseNewMenu": "Top",
    "Comfy.Locale": "en",
    "Comfy.VueNodes.AutoScaleLayout": False,
    "Comfy.Minimap.Visible": False,
}


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        yield playwright.chromium.launch(executable_path=find_browser(), headless=True, args=flags)


class HostPage:
    """A page with the host's graph editor, and what went wrong in it."""

    def __init__(self, page, url: str):
        self.page, self.url, self.faults = page, url, []
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._console)

    def _console(self, message) -> None:
        if message.type == "error" and "/extensions/atelier/" in f"{message.text} {message.location}":
            self.faults.append(message.text)

    def open(self) -> None:
        self.page.goto(self.url)
        self.page.wait_for_function(READY)
        self.page.wait_for_timeout(800)

    def load(self, workflow: dict) -> None:
        self.page.evaluate("async (w) => { await app.loadGraphData(w, true, true, null) }", workflow)
        self.page.wait_for_timeout(700)

    def missing_nodes(self) -> list[str]:
        # has_errors is no sign of it: newer pages set it for a file that is not there, too.
        return self.page.evaluate(
            """() => { const walk = (g) => g.nodes.flatMap((n) => n.subgraph ? walk(n.subgraph)
                : LiteGraph.registered_node_types[n.type] ? [] : [n.type]);
                return walk(app.rootGraph ?? app.graph) }"""
        )

    def prompt(self) -> dict:
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def queue_and_wait(self, timeout: int = 240) -> dict:
        """Queue the graph as the button does; returns the finished run's history entry."""
        before = set(self._history())
        self.page.evaluate("async () => { await app.queuePrompt(0, 1) }")
        for _ in range(timeout * 2):
            history = self._history()
            done = [key for key in history if key not in before and history[key]["status"].get("status_str")]
            if done:
                return history[done[0]]
            self.page.wait_for_timeout(500)
        raise AssertionError(f"nothing finished within {timeout} s")

    def _history(self) -> dict:
        with urllib.request.urlopen(self.url + "/history", timeout=30) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def newest_server(host_folder, tmp_path_factory):
    """The same host with the newest page (`python dev.py test --all` fetches it)."""
    from atelier.dev.setup import frontends
    from atelier.dev.setup.host_process import HostProcess

    page = frontends.newest(ROOT)
    assert (page / "index.html").exists(), "the newest page is not there: run `python dev.py test --all` once"
    flags = ["--front-end-root", str(page)]
    with HostProcess(
        host_folder, ROOT, tmp_path_factory.mktemp("newest"), python=sys.executable, flags=flags
    ) as process:
        yield process


@pytest.fixture(params=["server", pytest.param("newest_server", marks=pytest.mark.long)])
def host_page(request, browser):
    served_by = request.param
    server = request.getfixturevalue(served_by)
    for name, value in SETTINGS.items():
        request = urllib.request.Request(f"{server.url}/api/settings/{name}", json.dumps(value).encode(), method="POST")
        urllib.request.urlopen(request, timeout=30).close()
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-US")
    host_page = HostPage(context.new_page(), server.url)
    host_page.served_by = served_by
    host_page.open()
    yield host_page
    context.close()
