"""`python dev.py check [NAME ...]`: what is checked before the tests: lint, format, types. Without a name: all three.

The types of `craft/`, `croquis/` and `models/` are checked: the layers without the host, whose packages bring types.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .pack import ROOT

TYPED = ("craft", "croquis", "models")


def run(names: list[str]) -> int:
    """0 when every check passes, 1 otherwise, 2 for a name that is none."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"There is no check {', '.join(unknown)}; there are {', '.join(CHECKS)}.", file=sys.stderr)
        return 2
    failed = [name for name in names or CHECKS if not CHECKS[name]()]
    print(f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(names or CHECKS)}")
    return 1 if failed else 0


def lint() -> bool:
    return _ran("ruff", "check", ".")


def layout() -> bool:
    return _ran("ruff", "format", "--check", ".")


def types() -> bool:
    """mypy on a copy that is called `atelier`, as mypy takes a folder's name for the package's name."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "atelier"
        for name in TYPED:
            shutil.copytree(ROOT / name, package / name, ignore=_all_but_code)
        (package / "__init__.py").touch()
        chosen = [part for name in TYPED for part in ("-p", f"atelier.{name}")]
        settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
        return _ran("mypy", *settings, *chosen, folder=Path(folder), within="atelier/")


def _ran(tool: str, *arguments: str, folder: Path | None = None, within: str = "") -> bool:
    """Run a tool in the folder (None: the project's) and show what it prints, `within` left out of its paths."""
    if importlib.util.find_spec(tool) is None:
        print(
            f"{tool} is not installed in {sys.executable}: run `python dev.py check` without --python, which installs "
            "the pinned one into .venv.",
            file=sys.stderr,
        )
        return False
    command = [sys.executable, "-m", tool, *arguments]
    done = subprocess.run(command, cwd=folder or ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in done.stdout.splitlines():
        print(line.removeprefix(within))
    return done.returncode == 0


def _all_but_code(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()]


CHECKS: dict[str, Callable[[], bool]] = {"lint": lint, "format": layout, "types": types}
