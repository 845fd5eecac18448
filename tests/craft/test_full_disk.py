"""A full disk, and a limit on the size of files: sentences with the folder, a search that goes on, no half files.

Each case is a process of its own: what is tested for is that it does not die (SIGBUS).
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from atelier.craft.whole_files import NotWritten, make_folder, whole_file, write_text

pytestmark = pytest.mark.slow  # each case is a process of its own that imports torch
ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("full_disk.py")


def ran(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


def on_a_small_disk(folder, work, size="2m"):
    """The work on a file system of that size, which only the child sees."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare to give a process a disk of its own")
    folder.mkdir()
    script = f'mount -t tmpfs -o size={size} none "$0" || exit 77; exec "$@"'
    start = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, folder]
    if subprocess.run([*map(str, start), "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk in a name space of its own")
    return ran([*start, sys.executable, CHILD, ROOT, folder / "w", work])


def under_a_limit(folder, work, size):
    pytest.importorskip("resource", reason="this system has no limit on the size of files")
    folder.mkdir()
    return ran([sys.executable, CHILD, ROOT, folder / "w", work, size])


CASES = {
    "a small disk": lambda folder, work: on_a_small_disk(folder, work),
    "a limit on files": lambda folder, work: under_a_limit(folder, work, 100_000),
}


@pytest.mark.parametrize("case", CASES)
def test_a_search_goes_on_in_memory(tmp_path, case):
    said = CASES[case](tmp_path / "disk", "search")
    assert "found 0123.png" in said
    assert said.splitlines()[-1] == "files: ['items.sqlite']", "no draft stays"


@pytest.mark.parametrize("case", CASES)
def test_a_large_wardrobe_gets_a_sentence(tmp_path, case):
    said = CASES[case](tmp_path / "disk", "large")
    assert "sentence: vectors-" in said and str(tmp_path / "disk" / "w") in said
    assert ("the disk is full" if case == "a small disk" else "larger than this system allows") in said
    assert "only a wardrobe of up to 0 MB" in said
    assert said.splitlines()[-1] == "files: ['items.sqlite']"


def test_indexing_on_a_full_disk_gets_a_sentence(tmp_path):
    said = on_a_small_disk(tmp_path / "disk", "index")
    assert "sentence: The wardrobe's index in" in said and "full" in said and "make room" in said


def test_indexing_under_a_limit_gets_a_sentence(tmp_path):
    said = under_a_limit(tmp_path / "disk", "index", 40_000)
    assert "sentence: The wardrobe's index in" in said and "make room" in said


def test_a_file_is_there_whole_or_as_it_was(tmp_path):
    target = tmp_path / "figures.json"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="stopped"), whole_file(target) as draft:
        draft.write_text("half")
        raise RuntimeError("stopped")
    assert target.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["figures.json"]
    write_text(target, "new")
    assert target.read_text() == "new"


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (
        lambda: write_text(tmp_path / "missing" / "a.json", ""),
        lambda: write_text(tmp_path / "file" / "a.json", ""),
        lambda: make_folder(tmp_path / "file" / "folder"),
    ):
        with pytest.raises(NotWritten, match=r"cannot be written into .*: .*, and try again") as refusal:
            write()
        assert str(tmp_path) in str(refusal.value)


def test_an_error_inside_a_library_is_the_same_sentence(tmp_path):
    import torch
    from safetensors.torch import save_file

    with (
        pytest.raises(NotWritten, match=r"a\.safetensors cannot be written"),
        whole_file(tmp_path / "a.safetensors") as d,
    ):
        save_file({"a": torch.zeros(2)}, str(d.parent / "missing" / "a"))


def test_a_link_is_replaced_and_not_followed(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    (tmp_path / "w").mkdir()
    try:
        (tmp_path / "w" / "a.txt").symlink_to(outside)
    except OSError:
        pytest.skip("links need a permission here")
    write_text(tmp_path / "w" / "a.txt", "new")
    assert outside.read_text() == "kept" and (tmp_path / "w" / "a.txt").read_text() == "new"
