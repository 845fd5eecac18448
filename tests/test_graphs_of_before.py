"""Graphs and scripts of version 0.1 keep working: every workflow that it shipped, in both forms, and every node's
inputs, choices and sockets, kept in data/graphs_of_0_1.zip."""

import json
import zipfile
from pathlib import Path

import pytest

KEPT = zipfile.ZipFile(Path(__file__).resolve().parent / "data" / "graphs_of_0_1.zip")
API = sorted(name for name in KEPT.namelist() if name.startswith("api/"))
NODES = json.loads(KEPT.read("nodes.json"))
# Combos of the artist's own files and of the host's lists, which another version may extend.
OWN_FILES = {"encoder", "captioner", "parser", "checkpoint", "model_name", "designer", "hed", "image"}


@pytest.fixture(scope="module")
def object_info(server):
    return server.get("/object_info")


def graph_of(name):
    return {key: node for key, node in json.loads(KEPT.read(name)).items() if not key.startswith("_")}


def choices(spec):
    """The options of a combo in either form, None for another input."""
    if isinstance(spec[0], list):
        return spec[0]
    return spec[1].get("options") if spec[0] == "COMBO" else None


def limits_hold(widget: str, before: dict, now: dict) -> None:
    """Every value that a graph may hold stays allowed: a range may become wider, a default stays."""
    for limit in ("default", "step"):
        if limit in before:
            assert now.get(limit, 1 if limit == "step" else None) == before[limit], f"{widget} has another {limit}"
    if "min" in before:
        assert now["min"] <= before["min"] and now["max"] >= before["max"], f"{widget} has a narrower range"


@pytest.mark.parametrize("node", sorted(NODES))
def test_a_node_takes_and_gives_what_it_did(object_info, node):
    before, now = NODES[node], object_info[node]
    assert now["output"] == before["output"] and now["output_name"] == before["output_name"]
    assert now["output_is_list"] == before["output_is_list"] and now["output_node"] == before["output_node"]
    taken = {name: spec for group in now["input"].values() for name, spec in group.items()}
    for _group, inputs in before["input"].items():
        for name, spec in inputs.items():
            assert name in taken, f"{node} lost its input {name}"
            if choices(spec) is None:
                assert taken[name][0] == spec[0], f"{node}.{name}"
            elif name not in OWN_FILES:
                assert set(choices(spec)) <= set(choices(taken[name])), f"{node}.{name} lost a choice"
            if len(spec) > 1:
                limits_hold(f"{node}.{name}", spec[1], taken[name][1])
    required = set(now["input"].get("required") or {})
    assert required <= {name for group in before["input"].values() for name in group}, f"{node} asks for more"


@pytest.mark.parametrize("name", API)
def test_both_forms_still_say_the_same(object_info, name):
    """The page's widgets stand in the order in which a saved graph holds their values."""
    from atelier.dev.publish import workflow_files

    title = json.loads(KEPT.read(name))["_title"]
    page = json.loads(KEPT.read(f"page/{title}.json"))
    assert workflow_files.api_form(page, object_info) == workflow_files.completed(graph_of(name), object_info)


@pytest.mark.parametrize("name", API)
def test_the_host_takes_the_graph(run_graph, host, name):
    """Validated by the host, the artist's own files apart, which an empty host does not have."""
    valid, error, _, problems = run_graph.validate(graph_of(name))
    other = [
        (problems[key]["class_type"], fault)
        for key in problems or {}
        for fault in problems[key]["errors"]
        if not (fault["type"] in ("value_not_in_list", "custom_validation_failed") and missing_file(fault))
    ]
    assert not other and (valid or problems), (error, other)


def missing_file(fault):
    """An input of a file that an empty host does not have."""
    name = (fault.get("extra_info") or {}).get("input_name", "")
    return name.endswith("_name") or name.endswith(("_name1", "_name2")) or name in OWN_FILES


def test_the_kept_graphs_are_all_there():
    assert len(API) == 28 and len(NODES) == 49
