"""The pack loads in the real host, cheaply and whole."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_node_has_a_help_page_and_complete_texts():
    import atelier.nodes

    pages = {path.stem for path in (ROOT / "web" / "docs").glob("*.md")}
    problems = [f"page without node: {page}" for page in pages - set(atelier.nodes.NODE_CLASS_MAPPINGS)]
    for node_id, cls in atelier.nodes.NODE_CLASS_MAPPINGS.items():
        if not re.fullmatch(r"Atelier[A-Za-z0-9]+", node_id):
            problems.append(f"{node_id}: id is not Atelier + letters and digits")
        if node_id not in pages:
            problems.append(f"{node_id}: no help page web/docs/{node_id}.md")
        for attribute in ("TITLE", "CATEGORY", "DESCRIPTION", "SEARCH_ALIASES", "RETURN_TYPES", "FUNCTION"):
            if not hasattr(cls, attribute):
                problems.append(f"{node_id}: no {attribute}")
        if not cls.CATEGORY.startswith("Atelier/"):
            problems.append(f"{node_id}: category {cls.CATEGORY}")
        if len(getattr(cls, "OUTPUT_TOOLTIPS", ())) != len(cls.RETURN_TYPES):
            problems.append(f"{node_id}: OUTPUT_TOOLTIPS does not fit RETURN_TYPES")
        if len(getattr(cls, "RETURN_NAMES", cls.RETURN_TYPES)) != len(cls.RETURN_TYPES):
            problems.append(f"{node_id}: RETURN_NAMES does not fit RETURN_TYPES")
    assert atelier.nodes.NODE_CLASS_MAPPINGS, "the pack has no node"
    assert not problems, "\n".join(problems)


def test_every_input_has_a_tooltip(host):
    import atelier.nodes

    bare = []
    for node_id, cls in atelier.nodes.NODE_CLASS_MAPPINGS.items():
        inputs = cls.INPUT_TYPES()
        for group in ("required", "optional"):
            for name, spec in inputs.get(group, {}).items():
                if len(spec) < 2 or not spec[1].get("tooltip"):
                    bare.append(f"{node_id}.{name}")
    assert not bare, "no tooltip: " + ", ".join(bare)


def test_import_without_the_host_is_light():
    """Neither torch nor the host is imported by listing the nodes."""
    code = (
        "import sys; sys.path.insert(0, 'dev'); import pack; pack.register(); import atelier.nodes; "
        "heavy = {'torch', 'numpy', 'scipy', 'comfy', 'diffusers', 'transformers', 'skia', 'cv2', 'lightning'} &"
        " set(sys.modules); sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"imported while listing the nodes: {done.stderr}"


def test_the_host_process_loads_the_pack(server):
    import atelier.nodes

    log = server.log()
    # The host's own audio nodes may be missing (torchaudio is not needed); the pack may not.
    assert not re.search(r"(Cannot import|IMPORT FAILED).*atelier", log), log[-3000:]
    served = server.get("/object_info")
    missing = set(atelier.nodes.NODE_CLASS_MAPPINGS) - set(served)
    assert not missing, f"not offered by the host: {sorted(missing)}"


def test_nothing_speaks_of_a_machine():
    """No absolute path of a machine and no unsafe call in anything that ships."""
    paths = re.compile(r"(?<![A-Za-z0-9_.])/(?:work|farm|root|home/[a-z]+)/")
    found = []
    for path in _tracked_files():
        if path.suffix in {".py", ".js", ".mjs", ".md", ".json", ".toml", ".txt"}:
            text = path.read_text(encoding="utf-8")
            if paths.search(text):
                found.append(f"{path.relative_to(ROOT)}: absolute path")
            if path.suffix == ".py" and "tests" not in path.parts:
                for node in ast.walk(ast.parse(text)):
                    if (
                        isinstance(node, ast.Call)
                        and isinstance(node.func, ast.Name)
                        and node.func.id in ("eval", "exec")
                    ):
                        found.append(f"{path.relative_to(ROOT)}: {node.func.id}")
            if path.suffix in {".js", ".mjs"} and re.search(
                r"\.(inner|outer)HTML\s*=|insertAdjacentHTML|\beval\(", text
            ):
                found.append(f"{path.relative_to(ROOT)}: markup from text")
    assert not found, "\n".join(found)


def test_studio_weights_stay_small():
    weights = [path for path in _tracked_files() if path.suffix == ".safetensors"]
    assert sum(path.stat().st_size for path in weights) <= 48 * 2**20


def _tracked_files():
    skipped = {".venv", ".host", ".git", "output", "runs", "__pycache__", ".pytest_cache", ".ruff_cache"}
    for path in ROOT.rglob("*"):
        if path.is_file() and not skipped & set(path.relative_to(ROOT).parts):
            yield path
