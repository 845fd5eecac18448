"""Which layer may import which, who may import the host, and under which name the host's `nodes` comes."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {  # folder -> folders it may import from, by the design's arrows
    "nodes": {"nodes", "host", "craft", "models", "croquis"},
    "host": {"host", "models", "craft"},
    "craft": {"craft"},
    "models": {"models"},
    "croquis": {"croquis", "craft"},
    "dev": {"dev", "nodes", "host", "craft", "models", "croquis"},
    "dev/train": {"dev", "models", "croquis", "craft"},
}
# host/ alone speaks to the host; dev/ starts it and measures it.
MAY_IMPORT_THE_HOST = {"host", "dev"}
HOST_MODULES = {
    "api_server", "app", "comfy", "comfy_api", "comfy_api_nodes", "comfy_config", "comfy_execution", "comfy_extras",
    "execution", "folder_paths", "latent_preview", "middleware", "node_helpers", "nodes", "protocol", "server", "utils",
}  # fmt: skip


def wrong_arrows(root: Path) -> list[str]:
    """One line for each import below `root` that points the wrong way."""
    wrong = []
    for room, allowed in ROOMS.items():
        for path in (root / room).rglob("*.py"):
            name = path.relative_to(root).as_posix()
            for module, target in _imports(path, root):
                if target is not None and target in ROOMS and target not in allowed:
                    wrong.append(f"{name} imports {target}")
                if module in HOST_MODULES and room.split("/")[0] not in MAY_IMPORT_THE_HOST:
                    wrong.append(f"{name} imports the host's {module}")
    return wrong


def _imports(path: Path, root: Path):
    """(top-level module or '', room) of every import in a file, relative ones resolved to the pack's folders."""
    inside = path.relative_to(root).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], None
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0], None
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level]
            target = (*base, *(node.module or "").split(".")) if node.module else base
            if target and target[0]:
                yield "", target[0]
            else:
                for alias in node.names:
                    yield "", alias.name


def host_nodes_unnamed(source: str) -> list[int]:
    """Lines that import the host's `nodes` under its own name, which is the name of a folder of this pack."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            lines += [node.lineno for alias in node.names if alias.name == "nodes" and alias.asname in (None, "nodes")]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "nodes":
            lines.append(node.lineno)
    return lines


def test_arrows_between_rooms():
    wrong = wrong_arrows(ROOT)
    assert not wrong, "\n".join(wrong)


def test_the_hosts_nodes_come_under_another_name():
    files = [file for folder in (*ROOMS, "tests") for file in (ROOT / folder).rglob("*.py")]
    found = {file.relative_to(ROOT).as_posix(): host_nodes_unnamed(file.read_text(encoding="utf-8")) for file in files}
    users = [file for file in (ROOT / "host").rglob("*.py") if "import nodes as host_nodes" in file.read_text("utf-8")]
    assert users, "the test looks at files that import it"
    wrong = [f"{name}:{line}: write `import nodes as host_nodes`" for name, lines in found.items() for line in lines]
    assert not wrong, "\n".join(wrong)


# -------------------------------------------------------------------------------------------------------- the control
def test_a_made_up_arrow_is_found(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return wrong_arrows(tmp_path)

    assert write("nodes/a.py", "def f():\n    from ..host import b\n    import torch\n") == []
    assert write("host/b.py", "import comfy.samplers\nimport nodes as host_nodes\nfrom ..craft.c import x\n") == []
    assert write("craft/c.py", "def f():\n    from ..host.b import x\n") == ["craft/c.py imports host"]
    assert write("craft/c.py", "from .. import host\n") == ["craft/c.py imports host"]
    assert write("craft/c.py", "def f():\n    import comfy.utils\n") == ["craft/c.py imports the host's comfy"]
    assert write("craft/c.py", "") == []
    for module in ("folder_paths", "comfy_execution.graph_utils", "server", "nodes"):
        name = module.split(".")[0]
        assert write("nodes/a.py", f"def f():\n    import {module}\n") == [f"nodes/a.py imports the host's {name}"]


def test_a_host_module_under_its_own_name_is_found():
    for text in ("import nodes", "import nodes as nodes", "def f():\n    import nodes", "from nodes import KSampler"):
        assert host_nodes_unnamed(text), text
    for text in ("import nodes as host_nodes", "from . import nodes", "from ..nodes import prompt", "import nodes_x"):
        assert not host_nodes_unnamed(text), text
