"""Shipped workflows: known to the host, valid, and the same in both forms."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What an artist chooses among files of their own: an empty host has none of them.
FILES = {
    "ckpt_name",
    "control_net_name",
    "unet_name",
    "clip_name",
    "clip_name1",
    "clip_name2",
    "vae_name",
    "lora_name",
    "encoder_name",
    "captioner_name",
    "checkpoint",
    "encoder",
    "captioner",
    "image",
}
API_FILES = sorted((ROOT / "workflows" / "api").glob("*.json"))


@pytest.fixture(scope="module")
def object_info(server):
    return server.get("/object_info")


def test_there_are_workflows():
    assert API_FILES


@pytest.mark.parametrize("path", API_FILES, ids=lambda path: path.stem)
def test_both_forms_say_the_same(path, object_info):
    from atelier.dev.publish import workflow_files

    title, _, graph = workflow_files.load_api(path)
    page_path = ROOT / "workflows" / f"{title}.json"
    assert page_path.exists(), f"no page form of {path.name}: run `python dev.py workflows`"
    page = json.loads(page_path.read_text(encoding="utf-8"))
    assert workflow_files.api_form(page, object_info) == workflow_files.completed(graph, object_info), (
        f"{page_path.name} and {path.name} differ: run `python dev.py workflows`"
    )


@pytest.mark.parametrize("path", API_FILES, ids=lambda path: path.stem)
def test_links_carry_what_the_input_takes(path, object_info):
    from atelier.dev.publish import workflow_files

    _, _, graph = workflow_files.load_api(path)
    for key, entry in graph.items():
        info = object_info[entry["class_type"]]
        specs = workflow_files.input_specs(info)
        unknown = set(entry["inputs"]) - set(specs)
        assert not unknown, f"node {key} {entry['class_type']} has no input {sorted(unknown)}"
        missing = set(info["input"].get("required") or {}) - set(entry["inputs"])
        assert not missing, f"node {key} {entry['class_type']} lacks {sorted(missing)}"
        for name, value in entry["inputs"].items():
            if workflow_files.is_link(value):
                given = object_info[graph[value[0]]["class_type"]]["output"][value[1]]
                taken = specs[name][0]
                if not isinstance(given, list) and not isinstance(taken, list):
                    assert taken == "*" or given == "*" or set(given.split(",")) & set(taken.split(",")), (
                        f"node {key} {entry['class_type']}.{name} takes {taken}, is given {given}"
                    )
            elif isinstance(specs[name][0], list) and name not in FILES:
                assert value in specs[name][0], f"node {key} {entry['class_type']}.{name}: {value!r} is no choice"


def test_every_node_is_shown_in_a_workflow():
    import atelier.nodes

    used = {
        entry["class_type"]
        for path in API_FILES
        for name, entry in json.loads(path.read_text(encoding="utf-8")).items()
        if not name.startswith("_")
    }
    assert not set(atelier.nodes.NODE_CLASS_MAPPINGS) - used, "in no shipped workflow"


def test_titles_have_no_strangers():
    from atelier.dev.publish import workflow_files

    titles = {workflow_files.load_api(path)[0] for path in API_FILES}
    assert {path.stem for path in (ROOT / "workflows").glob("*.json")} == titles
