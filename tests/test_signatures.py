"""Every public function of host/ and nodes/ names the types of what it takes and gives."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def functions(node: ast.AST, inside: bool = False):
    """Public functions and methods; what stands inside a function or a private class is nobody else's."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not child.name.startswith("_") and not inside:
                yield child
            yield from functions(child, True)
        elif not (isinstance(child, ast.ClassDef) and child.name.startswith("_")):
            yield from functions(child, inside)


def untyped(code: str) -> list[str]:
    found = []
    for function in functions(ast.parse(code)):
        args = function.args
        given = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
        bare = [arg.arg for arg in given if arg.annotation is None and arg.arg not in ("self", "cls")]
        found += [f"{function.lineno}: {function.name}({name})" for name in bare]
        found += [f"{function.lineno}: {function.name} ->"] if function.returns is None else []
    return found


def test_every_public_signature_is_typed():
    files = [path for layer in ("host", "nodes") for path in sorted((ROOT / layer).rglob("*.py"))]
    bare = {path.relative_to(ROOT).as_posix(): untyped(path.read_text(encoding="utf-8")) for path in files}
    assert files and not {name: found for name, found in bare.items() if found}


def test_control_what_is_untyped_is_found():
    code = (
        "def a(x, *rest, y: int = 1, **more) -> int: ...\n"
        "class B:\n    def c(self, z: str): ...\n    def _d(self, z): ...\n"
        "class _E:\n    def f(self, z): ...\n"
        "def _g(x): ...\n"
        "def h(x: int) -> None:\n    def inner(y): ...\n"
    )
    assert untyped(code) == ["1: a(x)", "1: a(rest)", "1: a(more)", "3: c ->"]


def test_the_names_of_the_hosts_types_are_the_hosts(host):
    """`host_types` is imported for checkers alone: that it imports at all is seen here."""
    from atelier.host import host_types

    assert all(getattr(host_types, name, None) is not None for name in host_types.__all__)
    assert issubclass(host.comfy.model_patcher.ModelPatcher, host_types.Model)
