"""`python dev.py check`: each check fails on a fault, and commits and the CI run the same ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from atelier.dev import check

ROOT = Path(__file__).resolve().parents[2]
GOOD = 'def doubled(number: int) -> int:\n    """Twice the number."""\n    return 2 * number\n'
FAULTS = {
    "lint": (GOOD + "\n\nimport os\n", "E402"),
    "format": (GOOD.replace("2 * number", "2*number"), "craft/sums.py:3:13"),
    "types": (GOOD.replace("2 * number", "str(number)"), "craft/sums.py:3: error: Incompatible return value type"),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one file; returns what writes it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in check.TYPED:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.setattr(check, "ROOT", tmp_path)
    return (tmp_path / "craft" / "sums.py").write_text


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_and_is_shown(project, capfd, name):
    code, shown = FAULTS[name]
    project(code)
    assert check.run([name]) == 1
    out = capfd.readouterr().out
    assert shown in out.replace("\\", "/") and f"failed: {name}" in out


def test_control_good_code_passes_every_check(project, capfd):
    project(GOOD)
    assert check.run([]) == 0
    assert "passed: lint, format, types" in capfd.readouterr().out


def test_an_untyped_function_is_a_fault(project):
    project("def doubled(number):\n    return 2 * number\n")
    assert check.run(["types"]) == 1


def test_a_missing_tool_is_one_sentence(monkeypatch, capfd):
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: None)
    assert check.run(["lint"]) == 1
    problem = capfd.readouterr().err
    assert problem.startswith("ruff is not installed in ") and "python dev.py check" in problem


def test_an_unknown_name_is_refused():
    done = subprocess.run([sys.executable, str(ROOT / "dev.py"), "check", "typos"], capture_output=True, text=True)
    assert done.returncode == 2 and "There is no check typos; there are lint, format, types." in done.stderr


def test_every_commit_runs_every_check():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {hook["entry"] for hook in hooks} == {f"python3 dev.py check {name}" for name in check.CHECKS}


def test_the_ci_checks_before_it_tests():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines.index("python3 dev.py check") < lines.index("exec python3 dev.py test")


def test_every_tool_is_pinned():
    pinned = (ROOT / "dev" / "setup" / "requirements" / "check.txt").read_text()
    assert "ruff==" in pinned and "mypy==" in pinned
