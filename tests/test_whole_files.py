"""Every file that the pack writes is written by craft/whole_files: whole, or not at all and one sentence."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("craft", "host", "nodes", "croquis", "dev")
WRITERS = {"write_text", "write_bytes", "save", "save_file", "savez", "savez_compressed", "savetxt", "open_memmap",
           "memmap", "tofile", "dump", "copyfile", "copy2"}  # fmt: skip
# What makes the environment and the host's folder: before the pack can be imported, and swept as a whole.
BEFORE_THE_PACK = {f"dev/setup/{name}.py" for name in ("environment", "host_files", "frontends", "host_process")}
# Not files: a canvas of the drawing library, a picture into memory. And a bench's map in a folder of its own.
NO_FILES = {
    'np.lib.format.open_memmap(file, mode="w+"',
    "canvas.save",
    "small.save(out",
    "strip.save(file",
    "picture.save(file",
}


def writes():
    """(place, source line) of every call that may write a file and does not stand below `whole_file`."""
    for path in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        # A training run keeps what it needs in a folder of its own and makes it anew when it was cut short.
        if name in BEFORE_THE_PACK or name == "craft/whole_files.py" or name.startswith("dev/train/"):
            continue
        source = path.read_text(encoding="utf-8")
        tree, lines = ast.parse(source), source.splitlines()
        covered = {
            inner
            for block in ast.walk(tree)
            if isinstance(block, ast.With)
            and "whole_file(" in ast.unparse(block.items[0]) + ast.unparse(block.items[-1])
            for inner in ast.walk(block)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node not in covered and _may_write(node):
                line = lines[node.lineno - 1]
                if not any(piece in line for piece in NO_FILES):
                    yield f"{name}:{node.lineno}", line.strip()


def _may_write(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in WRITERS:
        return True
    named = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    if named == "save_file":
        return True
    if named != "open":
        return False
    modes = [a.value for a in [*call.args, *(k.value for k in call.keywords if k.arg == "mode")]
             if isinstance(a, ast.Constant) and isinstance(a.value, str)]  # fmt: skip
    return any(set(mode) <= set("rwxab+t") and set(mode) & set("wxa+") for mode in modes)


def test_every_write_goes_through_whole_files():
    found = {place: line for place, line in writes() if not line.startswith(("write_text(", "write_bytes("))}
    # The one function that is called below `whole_file` by another: craft/wardrobe_search._build.
    found = {place: line for place, line in found.items() if line != 'with open(file, "wb") as out:'}
    assert not found, "\n".join(f"{place}: {line}" for place, line in found.items())


def test_the_scan_sees_a_write():
    for text in (
        "p.write_text('a')",
        "open(p, 'w')",
        "p.open('wb')",
        "image.save(p)",
        "np.savez(p)",
        "save_file(t, p)",
    ):
        assert _may_write(ast.parse(text).body[0].value), text
    for text in ("open(p)", "open(p, 'rb')", "p.open()", "p.read_text()"):
        assert not _may_write(ast.parse(text).body[0].value), text
