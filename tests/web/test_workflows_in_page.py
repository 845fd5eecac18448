"""Shipped workflows open in the host's page without a missing node, and the try-on runs from there."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_shipped_workflow_opens(host_page):
    from atelier.dev.publish import workflow_files

    info = json.loads(json.dumps(host_page.page.evaluate("async () => (await fetch('/object_info')).json()")))
    pages = sorted((ROOT / "workflows").glob("*.json"))
    assert pages
    for path in pages:
        workflow = json.loads(path.read_text(encoding="utf-8"))
        host_page.load(workflow)
        assert host_page.missing_nodes() == [], path.name
        sent = host_page.prompt()
        expected = workflow_files.api_form(workflow, info)
        # The page adds inputs of its own to some of the host's nodes (a preview's text), never leaves one out.
        known = {
            key: {n: v for n, v in node["inputs"].items() if n in expected[key]["inputs"]} for key, node in sent.items()
        }
        assert known == {key: node["inputs"] for key, node in expected.items()}, path.name
    assert host_page.faults == []


def test_a_missing_node_would_be_seen(host_page):
    host_page.load({"version": 0.4, "last_node_id": 1, "last_link_id": 0, "links": [], "nodes": [
        {"id": 1, "type": "AtelierNoSuchNode", "pos": [0, 0], "size": [200, 80], "flags": {}, "order": 0, "mode": 0,
         "inputs": [], "outputs": [], "properties": {}, "widgets_values": []}]})  # fmt: skip
    assert host_page.missing_nodes() == ["AtelierNoSuchNode"]


def test_the_try_on_runs_from_the_page(host_page):
    from atelier.dev.publish import workflow_files

    title, _, _ = workflow_files.load_api(ROOT / "workflows" / "api" / "try_on_two_garments.json")
    host_page.load(json.loads((ROOT / "workflows" / f"{title}.json").read_text(encoding="utf-8")))
    run = host_page.queue_and_wait()
    assert run["status"]["status_str"] == "success", run["status"]
    pictures = [image for output in run["outputs"].values() for image in output.get("images", [])]
    assert pictures
    assert host_page.faults == []
