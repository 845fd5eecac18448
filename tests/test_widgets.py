"""A widget that several nodes have has one range, that of nodes/widgets.py."""

import atelier.nodes
import pytest
from atelier.nodes import widgets

SHARED = ("seed", "steps", "cfg", "grow", "feather", "seam_colour")
# Published schedules have their own number of steps; drawn figures are numbered, their seeds are no noise.
OWN = {
    ("AtelierHieraFashDiffDraftSampler", "steps"), ("AtelierHieraFashDiffEditSampler", "steps"),
    ("AtelierCroquis", "seed"), ("AtelierDrawnWardrobe", "seed"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_every_node_has_the_shared_range(host, name):
    expected, found = getattr(widgets, name)("")[1], {}
    for node_id, node in atelier.nodes.NODE_CLASS_MAPPINGS.items():
        kinds = node.INPUT_TYPES()
        given = {**kinds.get("required", {}), **kinds.get("optional", {})}.get(name)
        if given is not None and (node_id, name) not in OWN:
            found[node_id] = (given[1].get("min"), given[1].get("max"))
    assert found
    assert {node for node, _ in OWN} <= set(atelier.nodes.NODE_CLASS_MAPPINGS)
    least = {expected["min"], 0} if name == "steps" else {expected["min"]}
    strange = {key: pair for key, pair in found.items() if pair[0] not in least or pair[1] != expected["max"]}
    assert not strange
