"""Shipped workflows in both forms: the API form is what a person writes, the page's form is laid out from it.

`python dev.py workflows` writes workflows/<Title>.json for every workflows/api/<name>.json (its title: the entry
`_title`). The way back, page form to API form, is the check that both say the same.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...craft.whole_files import write_text
from ..pack import ROOT

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
COLUMN, GAP, LINE, HEAD = 420, 70, 26, 60
EDITOR = 400  # room for the part editor in its node


def load_api(path: Path) -> tuple[str, str, dict]:
    """(title, note, graph) of an API file: `_title` and `_note` are ours, everything else is the host's format."""
    graph = json.loads(path.read_text(encoding="utf-8"))
    title, note = graph.pop("_title", path.stem), graph.pop("_note", "")
    return title, note, graph


def is_widget(spec: list) -> bool:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if options.get("forceInput"):
        return False
    return isinstance(kind, list) or kind in WIDGETS or bool(options.get("atelier_widget"))


def input_specs(info: dict) -> dict[str, list]:
    """name -> spec, required before optional: the order of the page's widgets."""
    groups = info["input"]
    return {name: spec for group in ("required", "optional") for name, spec in (groups.get(group) or {}).items()}


def has_seed_control(name: str, spec: list) -> bool:
    return spec[0] == "INT" and (name in ("seed", "noise_seed") or bool(spec[1].get("control_after_generate")))


def is_upload(spec: list) -> bool:
    return len(spec) > 1 and bool(spec[1].get("image_upload"))


def is_link(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def page_form(graph: dict, object_info: dict, note: str = "") -> dict:
    """The page's workflow for an API graph, laid out in columns by distance from the sources."""
    numbers = {key: index + 1 for index, key in enumerate(graph)}
    links, nodes, depth = [], {}, {}
    for key, entry in graph.items():
        info = object_info[entry["class_type"]]
        nodes[key] = _page_node(numbers[key], entry, info)
    for key, entry in graph.items():
        for name, value in entry["inputs"].items():
            if not is_link(value):
                continue
            source, slot = value
            number = len(links) + 1
            kind = object_info[graph[source]["class_type"]]["output"][slot]
            kind = "COMBO" if isinstance(kind, list) else kind
            target_slot = next(i for i, item in enumerate(nodes[key]["inputs"]) if item["name"] == name)
            links.append([number, numbers[source], slot, numbers[key], target_slot, kind])
            nodes[key]["inputs"][target_slot]["link"] = number
            nodes[source]["outputs"][slot]["links"].append(number)
    _lay_out(graph, nodes, depth)
    shown = list(nodes.values())
    if note:
        shown.append(_note_node(len(shown) + 1, note))
    return {
        "id": _stable_id(graph), "revision": 0, "last_node_id": len(shown), "last_link_id": len(links),
        "nodes": shown, "links": links, "groups": [], "config": {},
        "extra": {"ds": {"scale": 0.7, "offset": [40, 120]}}, "version": 0.4,
    }  # fmt: skip


def _page_node(number: int, entry: dict, info: dict) -> dict:
    inputs, values = [], []
    for name, spec in input_specs(info).items():
        kind = "COMBO" if isinstance(spec[0], list) else spec[0]
        value = entry["inputs"].get(name)
        if is_widget(spec):
            inputs.append({"name": name, "type": kind, "widget": {"name": name}, "link": None})
            given = name in entry["inputs"] and not is_link(value)
            values.append(value if given else _default(spec))
            if has_seed_control(name, spec):
                values.append("fixed")
            if is_upload(spec):
                values.append("image")
        else:
            inputs.append({"name": name, "type": kind, "link": None})
    outputs = [
        {"name": name, "type": "COMBO" if isinstance(kind, list) else kind, "links": []}
        for name, kind in zip(info["output_name"], info["output"])
    ]
    title = (entry.get("_meta") or {}).get("title")
    node = {
        "id": number, "type": entry["class_type"], "pos": [0, 0], "size": [0, 0], "flags": {}, "order": 0, "mode": 0,
        "inputs": inputs, "outputs": outputs, "properties": {"Node name for S&R": entry["class_type"]},
        "widgets_values": values,
    }  # fmt: skip
    if title and title != info["display_name"]:
        node["title"] = title
    tall = sum(1 for name, spec in input_specs(info).items() if len(spec) > 1 and spec[1].get("multiline"))
    rows = max(sum("widget" not in item for item in inputs), len(outputs)) + len(values)
    picture = 240 if info.get("output_node") else 0
    editors = sum(1 for spec in input_specs(info).values() if len(spec) > 1 and spec[1].get("atelier_widget"))
    node["size"] = [380 if editors else 330, HEAD + rows * LINE + tall * 80 + picture + editors * EDITOR]
    return node


def _default(spec: list):
    options = spec[1] if len(spec) > 1 else {}
    if "default" in options:
        return options["default"]
    if isinstance(spec[0], list):
        return spec[0][0] if spec[0] else ""
    return {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(spec[0], "")


def _lay_out(graph: dict, nodes: dict, depth: dict) -> None:
    def distance(key: str) -> int:
        if key not in depth:
            sources = [value[0] for value in graph[key]["inputs"].values() if is_link(value)]
            depth[key] = 1 + max(map(distance, sources)) if sources else 0
        return depth[key]

    for key in graph:
        distance(key)
    # A source stands beside its first consumer instead of all sources in one long first column.
    for key in graph:
        if depth[key] == 0:
            users = [
                depth[k] for k, e in graph.items() if any(is_link(v) and v[0] == key for v in e["inputs"].values())
            ]
            depth[key] = max(min(users) - 1, 0) if users else 0
    heights: dict[int, int] = {}
    for order, key in enumerate(sorted(graph, key=lambda item: depth[item])):
        column, node = depth[key], nodes[key]
        node["order"] = order
        node["pos"] = [column * COLUMN, heights.get(column, 0)]
        heights[column] = heights.get(column, 0) + node["size"][1] + GAP


def _note_node(number: int, note: str) -> dict:
    return {
        "id": number, "type": "MarkdownNote", "pos": [-420, 0], "size": [360, 260], "flags": {}, "order": 0, "mode": 0,
        "inputs": [], "outputs": [], "properties": {}, "widgets_values": [note], "color": "#432", "bgcolor": "#653",
    }  # fmt: skip


def _stable_id(graph: dict) -> str:
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(graph, sort_keys=True)))


def api_form(page: dict, object_info: dict) -> dict:
    """What the page would send for a workflow of this simple kind (no subgraphs, no bypassed nodes)."""
    by_link = {link[0]: [str(link[1]), link[2]] for link in page["links"]}
    graph = {}
    for node in page["nodes"]:
        if node["type"] in ("Note", "MarkdownNote"):
            continue
        values, inputs = list(node.get("widgets_values") or []), {}
        linked = {item["name"]: by_link[item["link"]] for item in node["inputs"] if item.get("link") is not None}
        for name, spec in input_specs(object_info[node["type"]]).items():
            if is_widget(spec):
                inputs[name] = values.pop(0)
                if has_seed_control(name, spec):
                    values.pop(0)
                if is_upload(spec):
                    values.pop(0)
            if name in linked:
                inputs[name] = linked[name]
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return graph


def completed(graph: dict, object_info: dict) -> dict:
    """An API graph with the nodes renumbered in file order and every widget's default filled in: comparable."""
    numbers = {key: str(index + 1) for index, key in enumerate(graph)}
    result = {}
    for key, entry in graph.items():
        inputs = {}
        for name, spec in input_specs(object_info[entry["class_type"]]).items():
            value = entry["inputs"].get(name)
            if is_link(value):
                inputs[name] = [numbers[value[0]], value[1]]
            elif name in entry["inputs"]:
                inputs[name] = value
            elif is_widget(spec):
                inputs[name] = _default(spec)
        result[numbers[key]] = {"class_type": entry["class_type"], "inputs": inputs}
    return result


def write_all(object_info: dict) -> list[Path]:
    """Lay out every API file anew; returns the page files written."""
    written = []
    for path in sorted((ROOT / "workflows" / "api").glob("*.json")):
        title, note, graph = load_api(path)
        target = ROOT / "workflows" / f"{title}.json"
        page = page_form(graph, object_info, note)
        write_text(target, json.dumps(page, indent=1, ensure_ascii=False) + "\n")
        written.append(target)
    return written
