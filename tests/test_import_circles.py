"""No module of the pack imports itself by way of others: neither at its top nor inside a function.

A file that is in no circle can be read, moved and tested without the files that use it. Imports for type checkers
alone do not count. Importing `a.b` also runs `a/__init__.py`; that is Python's way and no circle, as long as the
module does not ask its own package for a name that the package imports from elsewhere.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("craft", "croquis", "dev", "host", "models", "nodes")
# dev.py starts from the pack's folder, where `dev` is a package of its own. `nodes` from there would be the host's.
PACK_NAMES = ("atelier", "dev")
SCRIPTS = re.compile(
    r"""(?:^|;)\s*(?:import|export)\b[^'"();]*['"](\.[^'"]+)['"]|import\(\s*['"](\.[^'"]+)['"]""", re.M
)


# ------------------------------------------------------------------------------------------------- who imports whom
def python_imports(root: Path, rooms=ROOMS) -> dict[str, set[str]]:
    """Every Python module of the pack -> the modules of the pack that it imports, by dotted name."""
    files = [*root.glob("*.py"), *(file for room in rooms for file in (root / room).rglob("*.py"))]
    modules = {_dotted(file, root): file for file in files}
    return {name: _imports_of(name, file, set(modules)) - {name} for name, file in modules.items()}


def _dotted(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports_of(name: str, file: Path, modules: set[str]) -> set[str]:
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    found = set()
    for node in _run_nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in PACK_NAMES:
                    found.add(alias.name.removeprefix("atelier."))
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            if base is not None:
                for alias in node.names:
                    module = f"{base}.{alias.name}".strip(".")
                    found.add(module if module in modules else base)
        elif isinstance(node, ast.Call):
            found |= _called_imports(node, package, modules)
    return found & modules


def _run_nodes(tree: ast.AST):
    """Every node that runs: all but what stands below `if TYPE_CHECKING:`."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)


def _base(node: ast.ImportFrom, package: list[str]) -> str | None:
    """The dotted name behind `from`, or None where it is not the pack's."""
    if node.level:
        return ".".join([*package[: len(package) - node.level + 1], *(node.module or "").split(".")]).strip(".")
    inside = (node.module or "").split(".")
    if inside[0] not in PACK_NAMES:
        return None
    return ".".join(inside[1:] if inside[0] == "atelier" else inside)


def _called_imports(node: ast.Call, package: list[str], modules: set[str]) -> set[str]:
    """import_module(".name", __name__) and import_module("atelier.name"); an f-string may mean any module there."""
    function = node.func
    called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    if called not in ("import_module", "__import__") or not node.args:
        return set()
    pieces = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
    text = "".join(str(piece.value) if isinstance(piece, ast.Constant) else "\0" for piece in pieces)
    if text.startswith("."):
        text = ".".join([*package, text[1:]])
    elif text.startswith("atelier."):
        text = text.removeprefix("atelier.")
    else:
        return set()
    pattern = re.compile(re.escape(text).replace("\0", r"[\w.]+"))
    return {module for module in modules if pattern.fullmatch(module)}


def script_imports(folder: Path) -> dict[str, set[str]]:
    """Every script below a folder -> the scripts that it imports by a relative path."""
    files = [file for file in folder.rglob("*") if file.suffix in (".js", ".mjs")]
    graph = {}
    for file in files:
        written = [a or b for a, b in SCRIPTS.findall(file.read_text(encoding="utf-8"))]
        paths = {(file.parent / path).resolve() for path in written}
        graph[file.relative_to(folder).as_posix()] = {
            path.relative_to(folder.resolve()).as_posix() for path in paths if path in {f.resolve() for f in files}
        }
    return graph


# ------------------------------------------------------------------------------------------------------- the circles
def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach one another (Tarjan's strongly connected components of more than one)."""
    order, low, stack, found = {}, {}, [], []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return found


def test_no_circle_in_the_pack():
    graph = python_imports(ROOT)
    assert len(graph) > 200 and sum(map(len, graph.values())) > 400, "the finder sees the pack"
    found = circles(graph)
    assert not found, "modules that import one another: " + "; ".join(" <-> ".join(group) for group in found)


def test_no_circle_in_the_page():
    graph = script_imports(ROOT / "web")
    assert sum(map(len, graph.values())) > 5, "the finder sees the scripts"
    found = circles(graph)
    assert not found, "scripts that import one another: " + "; ".join(" <-> ".join(group) for group in found)


# -------------------------------------------------------------------------------------------------------- the control
def test_a_made_up_circle_is_found(tmp_path):
    def write(**texts):
        for name, text in texts.items():
            path = tmp_path / "craft" / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(a="from .deep import b\n", c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a\n")
    write(deep__b="def f():\n    from ...craft.c import x\n")
    (tmp_path / "craft" / "deep" / "__init__.py").write_text("")
    assert circles(python_imports(tmp_path)) == []
    ways_back = (
        "def f():\n    from .a import x\n",
        "import atelier.craft.a\n",
        "from atelier.craft import a\n",
        "from importlib import import_module\nimport_module('.a', 'atelier.craft')\n",
        "from importlib import import_module\nfor name in 'a':\n    import_module(f'.{name}', __name__)\n",
    )
    for text in ways_back:
        write(c=text)
        assert circles(python_imports(tmp_path)) == [["craft.a", "craft.c", "craft.deep.b"]], text


def test_a_made_up_circle_of_scripts_is_found(tmp_path):
    (tmp_path / "a.mjs").write_text('import { x } from "./b.mjs";\n')
    (tmp_path / "b.mjs").write_text('export { y } from "./c.mjs";\n')
    (tmp_path / "c.mjs").write_text("// import './a.mjs' is what this does not do\n")
    assert circles(script_imports(tmp_path)) == []
    (tmp_path / "c.mjs").write_text('const late = () => import("./a.mjs");\n')
    assert circles(script_imports(tmp_path)) == [["a.mjs", "b.mjs", "c.mjs"]]
