"""The papers keep up with the code: every path and command that they name exists, and the version is one."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAPERS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
MADE = {".venv", ".host"}  # the set-up makes them
SUFFIXES = (".py", ".md", ".mjs", ".js", ".json", ".toml", ".yaml", ".txt")


def quoted(text: str) -> list[str]:
    """What stands in backticks, code blocks left out."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def missing_paths(text: str, root: Path) -> list[str]:
    """Paths in backticks and targets of links that do not exist."""
    named = [word for word in quoted(text) if re.fullmatch(r"[\w.\-/]+", word) and word not in MADE]
    paths = [word for word in named if "/" in word or word.endswith(SUFFIXES)]
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    return [path for path in (*paths, *links) if not (root / path).exists()]


def missing_names(text: str, root: Path) -> list[str]:
    """Names in backticks after "`file.py`: " or before " (`file.py`" that the file does not hold."""
    pairs = [(name, file) for file, name in re.findall(r"`([\w/.]+\.py)`: `(\w+)`", text)]
    pairs += re.findall(r"`(\w+)`[^`|.;]{0,30}\(`([\w/.]+\.py)`", text)
    return [f"{file}: {name}" for name, file in pairs if not re.search(rf"\b{name}\b", (root / file).read_text())]


def missing_commands(text: str) -> list[str]:
    """`python dev.py ...` whose command, bench, recipe or option does not exist."""
    from atelier.dev import check, dispatch
    from atelier.dev.train.recipes import RECIPES

    inner = {"bench": dispatch.BENCH, "parity": dispatch.PARITY, "train": RECIPES, "check": check.CHECKS}
    wrong = []
    for line in quoted(text):
        found = re.search(r"python3? dev\.py (?:--python \S+ )?([a-z]+)(?: ([a-z][\w-]*))?", line)
        if found is None:
            continue
        command, name = found.groups()
        if command not in commands() or (name and command in inner and name not in inner[command]):
            wrong.append(line)
    return wrong


def commands() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("dev_commands", ROOT / "dev.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.COMMANDS


def version() -> str:
    return re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)


@pytest.mark.parametrize("paper", PAPERS)
def test_what_a_paper_names_exists(paper):
    text = (ROOT / paper).read_text(encoding="utf-8")
    assert not missing_paths(text, ROOT)
    assert not missing_names(text, ROOT)
    assert not missing_commands(text)


def test_control_what_does_not_exist_is_found():
    text = (
        "`host/nowhere.py` and `craft/garments.py`, [a page](docs/nowhere.md), `craft/garments.py`: `NOBODY`,"
        " `Nobody` (`craft/garments.py`), `python dev.py nothing`, `python dev.py bench nothing`, `python dev.py test`"
    )
    assert missing_paths(text, ROOT) == ["host/nowhere.py", "docs/nowhere.md"]
    assert missing_names(text, ROOT) == ["craft/garments.py: NOBODY", "craft/garments.py: Nobody"]
    assert missing_commands(text) == ["python dev.py nothing", "python dev.py bench nothing"]


def test_the_readme_leads_to_the_papers():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"]({paper})" in readme for paper in PAPERS)


def test_the_version_is_one():
    headings = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == version()
    numbers = [tuple(map(int, heading.split("."))) for heading in headings]
    assert numbers == sorted(numbers, reverse=True) and len(set(numbers)) == len(numbers)


def test_every_stage_and_folder_is_on_the_map():
    """A new stage of the menu or a new folder of a layer that ARCHITECTURE.md does not name."""
    import atelier.nodes

    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    stages = {cls.CATEGORY.split("/")[1] for cls in atelier.nodes.NODE_CLASS_MAPPINGS.values()}
    rows = re.findall(r"^\| ([A-Z][\w-]+) \|", text, re.MULTILINE)
    assert stages <= set(rows), stages - set(rows)
    folders = {p.parent.relative_to(ROOT).as_posix() for room in ("host", "craft", "models")
               for p in (ROOT / room).glob("*/__init__.py")}  # fmt: skip
    assert not [folder for folder in folders if f"`{folder}/" not in text]
