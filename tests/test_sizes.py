"""No file of code over 400 lines and no folder with over 20 of them, tests included: what a reader can hold at once."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = {".py", ".js", ".mjs"}
MOST_LINES, MOST_FILES = 400, 20
NOT_OURS = {".venv", ".host", ".git", "output", "runs", "__pycache__"}  # what the set-up and the runs make
FLAT_FOR_THE_HOST = ("workflows", "docs", "web/docs")  # the host lists these folders as they are


def code_files(root: Path) -> dict[str, int]:
    """Path -> number of lines of every file of code below `root`."""
    files = {}
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if path.suffix in CODE and path.is_file() and not NOT_OURS & set(parts):
            files["/".join(parts)] = len(path.read_text(encoding="utf-8").splitlines())
    return files


def too_large(files: dict[str, int]) -> list[str]:
    """One line for each file with too many lines and each folder with too many files of code."""
    long = [f"{name} has {lines} lines; {MOST_LINES} at most: split it by subject" for name, lines in files.items()
            if lines > MOST_LINES]  # fmt: skip
    folders = Counter(str(Path(name).parent.as_posix()) for name in files)
    full = [f"{folder}/ holds {count} files of code; {MOST_FILES} at most: give what belongs together a folder"
            for folder, count in folders.items()
            if count > MOST_FILES and folder not in FLAT_FOR_THE_HOST]  # fmt: skip
    return sorted(long + full)


def test_every_file_and_folder_can_be_held_at_once():
    files = code_files(ROOT)
    assert len(files) > 400, "the test sees the pack"
    wrong = too_large(files)
    assert not wrong, "\n".join(wrong)


def test_what_is_too_large_is_found(tmp_path):
    folder = tmp_path / "web" / "editor"
    folder.mkdir(parents=True)
    for number in range(MOST_FILES):
        (folder / f"{number}.mjs").write_text("\n" * MOST_LINES)
    (folder / "picture.png").write_bytes(b"")
    assert too_large(code_files(tmp_path)) == []
    (folder / "more.py").write_text("\n")
    (folder / "0.mjs").write_text("\n" * (MOST_LINES + 1))
    assert [line.split(" ")[0] for line in too_large(code_files(tmp_path))] == ["web/editor/", "web/editor/0.mjs"]
    (tmp_path / "workflows").mkdir()
    for number in range(MOST_FILES + 1):
        (tmp_path / "workflows" / f"{number}.py").write_text("")
    assert len(too_large(code_files(tmp_path))) == 2
