"""One table of garment categories: a new row there is a new category in menus, masks, words and sheets."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from atelier.craft import garments

ROOT = Path(__file__).resolve().parents[2]
HAT = """    Category(
        "hat", "hat", None, "a hat", "hat", "hat", ("hat",), ("head",), "hat hats beanie cap beret", bares=("hair",),
    ),
)  # fmt: skip
"""
ASK = """
import json, sys
sys.path.insert(0, sys.argv[1] + "/dev")
import pack
pack.register()
import numpy as np
from atelier.craft import garments
from atelier.craft.body.agnostic_mask import agnostic_mask
from atelier.craft.body.body_parts import Body
from atelier.nodes.masks import AgnosticMask
from atelier.nodes.dress import Garment
from atelier.nodes.wardrobe import Pick

joints = np.array(json.loads(sys.argv[2]), float)
asked = AgnosticMask.INPUT_TYPES()
print(json.dumps({
    "garment": Garment.INPUT_TYPES()["required"]["category"][0],
    "pick": Pick.INPUT_TYPES()["required"]["if_unknown"][0],
    "required": [name for name in asked["required"] if name in garments.IDS],
    "last": list(asked["optional"])[-1],
    "word": garments.category_of("a red beanie"),
    "masked": float(agnostic_mask(Body(joints, 96, 128), ("hat",), ("face", "hair")).mean()) if "hat" in garments.BY_ID
    else 0.0,
}))
"""


def answers(pack: Path) -> dict:
    from atelier.croquis import random_figure, render

    figure = render(random_figure(3, ("upper", "lower")), 96, 128, ("parts",))
    joints = json.dumps(figure.keypoints.tolist())
    done = subprocess.run([sys.executable, "-c", ASK, str(pack), joints], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_hat_is_one_row(host, tmp_path):
    """The pack copied, a row added to the table, nothing else touched."""
    import atelier.nodes.masks  # noqa: F401  the host is importable here; the child needs the same path

    pack = tmp_path / "pack"
    left_out = shutil.ignore_patterns(".*", "output", "weights", "tests", "docs", "workflows", "web")
    shutil.copytree(ROOT, pack, ignore=left_out)
    table = pack / "craft" / "garments.py"
    text = table.read_text(encoding="utf-8")
    assert text.count(")  # fmt: skip\n") == 1
    table.write_text(text.replace(")  # fmt: skip\n", HAT), encoding="utf-8")
    with_hat, without = answers(pack), answers(ROOT)
    assert with_hat["garment"] == [*without["garment"], "hat"] and with_hat["pick"] == [*without["pick"], "hat"]
    assert with_hat["word"] == "hat" and without["word"] == ""
    assert 0.005 < with_hat["masked"] < 0.2 and without["masked"] == 0
    # Saved graphs hold values by place: the switches that they know stay where they are.
    assert with_hat["required"] == without["required"] and with_hat["last"] == "hat" != without["last"]


def test_the_published_networks_numbers_are_theirs():
    """FastFit's class embedding: upper 0, lower 1, dress 2, shoe 3, bag 4."""
    numbers = {category.label: category.number for category in garments.CATEGORIES}
    assert numbers == {"upper": 0, "lower": 1, "dress": 2, "shoes": 3, "bag": 4}


def test_names_are_told_apart():
    for category in garments.CATEGORIES:
        assert garments.by_name(category.id) is garments.by_name(category.label) is category
    with pytest.raises(ValueError, match="'hat'; choose one of upper, lower, overall, shoe, bag"):
        garments.by_name("hat")
    words = [word for category in garments.CATEGORIES for word in category.words.split()]
    assert len(words) == len(set(words)), "a word means two categories"


def test_no_other_file_lists_the_categories():
    """A tuple or dict of three and more of the ids or labels elsewhere would be a second table."""
    import ast

    known, found = {*garments.IDS, *garments.LABELS}, []
    drawn = {"croquis/garment.py", "croquis/choice.py", "croquis/drawn_wardrobe.py"}  # what each kind looks like
    for room in ("nodes", "host", "craft", "croquis"):
        for path in (ROOT / room).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if name == "craft/garments.py" or name in drawn:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
                texts = {item.value for item in items if isinstance(item, ast.Constant)}
                if len(texts & known) >= 4:
                    found.append(f"{name}:{node.lineno}")
    assert not found, found
