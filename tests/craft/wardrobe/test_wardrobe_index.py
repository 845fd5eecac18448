"""The wardrobe's store: incremental, whole after any kill, safe with two writers, at peace with every broken file."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from atelier.craft.picture.picture_files import UnreadablePicture, read_picture
from atelier.craft.wardrobe import wardrobe_scan
from atelier.craft.wardrobe.wardrobe_index import update_index
from atelier.craft.wardrobe.wardrobe_store import STORE_FOLDER, EncoderIdentity, OtherEncoder, WardrobeStore
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
IDENTITY = EncoderIdentity("tiny", "abc123", 12)

# The encoder of these tests, also for processes of their own: a picture's mean colours in four strips.
INDEXER = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("pack_alias", sys.argv[1] + "/dev/pack.py")
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); module.register()
import numpy as np
from atelier.craft.wardrobe.wardrobe_index import update_index
from atelier.craft.wardrobe.wardrobe_store import EncoderIdentity

def encode(pictures):
    rows = [np.asarray(p.resize((2, 2))).astype(float).ravel() + 1 for p in pictures]
    return np.stack([row / np.linalg.norm(row) for row in rows])

left = [int(sys.argv[3])]
def count(frame, event, arg):
    if "wardrobe_" not in frame.f_code.co_filename:
        return None
    if event == "line" and left[0] > 0:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    return count
if left[0]:
    sys.settrace(count)
update_index(sys.argv[2], EncoderIdentity("tiny", "abc123", 12), encode, batch=3)
print(left[0])
"""


def encode(pictures):
    rows = [np.asarray(p.resize((2, 2))).astype(float).ravel() + 1 for p in pictures]
    return np.stack([row / np.linalg.norm(row) for row in rows])


def fill(folder: Path, count: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (20, 16, 3), dtype=np.uint8)).save(folder / f"{seed}_{number:02}.png")
    return folder


def content(folder: Path) -> list[tuple]:
    """Everything in the store but its counters."""
    with WardrobeStore(folder) as store:
        return [store.item_at(path) for path in sorted(store.known())]


def same(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        a.path == b.path and a.hash == b.hash and np.array_equal(a.vector, b.vector) and a.thumbnail == b.thumbnail
        for a, b in zip(first, second)
    )


def run(folder, kill_at=0):
    return subprocess.run([sys.executable, "-c", INDEXER, str(ROOT), str(folder), str(kill_at)],
                          capture_output=True, text=True)  # fmt: skip


def test_only_what_changed_is_encoded(tmp_path):
    folder = fill(tmp_path / "w", 6)
    seen = []
    counting = lambda pictures: seen.extend(pictures) or encode(pictures)  # noqa: E731
    assert update_index(folder, IDENTITY, counting).added == 6
    assert update_index(folder, IDENTITY, counting).unchanged == 6 and len(seen) == 6
    # Touched, renamed, copied: known content, nothing to encode. Really changed: one.
    os.utime(folder / "0_00.png", ns=(1, 1))
    (folder / "0_01.png").rename(folder / "renamed.png")
    shutil.copy(folder / "0_02.png", folder / "copy.png")
    Image.new("RGB", (9, 9), "red").save(folder / "0_03.png")
    report = update_index(folder, IDENTITY, counting)
    assert (report.changed, report.copied, report.dropped, report.unchanged) == (1, 2, 1, 4)
    assert len(seen) == 7 and report.findable == 7


@pytest.mark.slow
def test_a_kill_at_any_line_leaves_whole_items_and_the_next_run_finishes(tmp_path):
    folder = fill(tmp_path / "w", 8)
    expected = tmp_path / "uninterrupted"
    shutil.copytree(folder, expected)
    lines = 1_000_000
    done = run(expected, lines)
    assert done.returncode == 0, done.stderr
    lines -= int(done.stdout)
    reached = set()
    for step in range(1, 17):
        shutil.rmtree(folder / STORE_FOLDER, ignore_errors=True)
        killed = run(folder, step * lines // 17)
        assert killed.returncode != 0, "the process was to be killed, and was not"
        database = folder / STORE_FOLDER / "items.sqlite"
        if database.exists():
            with sqlite3.connect(database) as base:
                assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                if base.execute("SELECT name FROM sqlite_master WHERE name = 'items'").fetchone():
                    broken = "SELECT COUNT(*) FROM items WHERE (length(vector) IS NOT 24) AND problem IS NULL"
                    assert base.execute(broken).fetchone() == (0,)
                    reached.add(base.execute("SELECT COUNT(*) FROM items").fetchone()[0])
        update_index(folder, IDENTITY, encode, batch=3)
        assert same(content(folder), content(expected))
    # Control: the kills really came in the middle of the work, between batches of three.
    assert {0, 3, 6} <= reached


def test_two_writers_at_once_give_what_one_gives(tmp_path):
    folder = fill(tmp_path / "w", 24)
    command = [sys.executable, "-c", INDEXER, str(ROOT), str(folder), "0"]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
    alone = fill(tmp_path / "alone", 24)
    update_index(alone, IDENTITY, encode)
    assert same(content(folder), content(alone))


def test_a_writer_whose_store_changed_hands_is_stopped(tmp_path):
    folder, other = fill(tmp_path / "w", 4), EncoderIdentity("other", "ffff", 12)

    def taken_over(pictures):
        update_index(folder, other, encode, start_over=True)
        return encode(pictures)

    with pytest.raises(OtherEncoder, match="was indexed with 'other'"):
        update_index(folder, IDENTITY, taken_over)
    with WardrobeStore(folder) as store:
        assert store.encoder() == other and store.count() == (4, 0)


def test_another_encoder_is_refused(tmp_path):
    folder = fill(tmp_path / "w", 2)
    update_index(folder, IDENTITY, encode)
    retrained = EncoderIdentity("tiny", "other weights", 12)
    with pytest.raises(OtherEncoder, match="start over"):
        update_index(folder, retrained, encode)
    assert update_index(folder, retrained, encode, start_over=True).added == 2


def test_the_folder_can_move(tmp_path):
    folder = fill(tmp_path / "w" / "sub", 3).parent
    update_index(folder, IDENTITY, encode)
    shutil.move(folder, tmp_path / "elsewhere")
    report = update_index(tmp_path / "elsewhere", IDENTITY, encode)
    assert (report.unchanged, report.added, report.findable) == (3, 0, 3)
    with WardrobeStore(tmp_path / "elsewhere") as store:
        assert set(store.known()) == {"sub/0_00.png", "sub/0_01.png", "sub/0_02.png"}


def test_words_beside_the_pictures(tmp_path):
    folder = fill(tmp_path / "w", 3)
    (folder / "0_00.txt").write_text("A long red dress.")
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "0_01.png", "text": "boots", "category": "shoe"}))
    update_index(folder, IDENTITY, encode)
    assert [(i.caption, i.category) for i in content(folder)] == [
        ("A long red dress.", "dress"),
        ("boots", "shoes"),
        ("", ""),
    ]
    (folder / "0_02.txt").write_text("a tote bag")
    assert update_index(folder, IDENTITY, encode).added == 0
    assert content(folder)[2].category == "bag"
    (folder / "metadata.jsonl").write_text("not json")
    report = update_index(folder, IDENTITY, encode)
    assert report.problems == [("metadata.jsonl", report.problems[0][1])] and "line 1 is left" in report.text()
    assert content(folder)[1].caption == "", "words are gone when they are gone"


def odd_files(folder: Path) -> None:
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    noise.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)).save(folder / "sixteen.png")
    noise.convert("P").save(folder / "palette.gif")
    noise.save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (60, 40), "red")])
    Image.new("RGBA", (30, 30), (255, 0, 0, 0)).save(folder / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise.save(folder / "turned.jpg", exif=exif)
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"this is no picture")
    noise.save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:900])
    (folder / "cut.jpg").write_bytes((folder / "turned.jpg").read_bytes()[:400])
    Image.new("1", (20000, 15000)).save(folder / "huge.png")


def test_odd_files_are_read_or_reported_and_never_fatal(tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    odd_files(folder)
    report = update_index(folder, IDENTITY, encode)
    problems = dict(report.problems)
    assert set(problems) == {"empty.png", "text.jpg", "cut.png", "cut.jpg", "huge.png"}
    assert "empty" in problems["empty.png"] and "pixels are too many" in problems["huge.png"]
    assert report.findable == 7
    # Not tried again until they change; then taken.
    assert update_index(folder, IDENTITY, encode).unchanged == 12
    (folder / "empty.png").write_bytes((folder / "whole.png").read_bytes())
    assert update_index(folder, IDENTITY, encode).findable == 8


def test_what_the_reader_makes_of_odd_files(tmp_path):
    odd_files(tmp_path)
    assert read_picture(tmp_path / "turned.jpg").size == (40, 60)
    sixteen = np.asarray(read_picture(tmp_path / "sixteen.png"))
    assert sixteen.min() == 0 and sixteen.max() == 255 and 110 < sixteen.mean() < 145
    assert np.asarray(read_picture(tmp_path / "clear.png")).min() == 255
    first = np.asarray(read_picture(tmp_path / "moving.gif"))
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 50, "the first frame is noise, the second is plain red"
    assert all(read_picture(tmp_path / name).mode == "RGB" for name in ("cmyk.jpg", "palette.gif", "whole.png"))
    with pytest.raises(UnreadablePicture):
        read_picture(tmp_path / "missing.png")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    secret = fill(tmp_path / "secret", 1)
    folder = fill(tmp_path / "w", 1, seed=2)
    try:
        (folder / "link.png").symlink_to(secret / "0_00.png")
    except OSError:
        pytest.skip("links need a permission here")
    report = update_index(folder, IDENTITY, encode)
    assert report.findable == 1 and "leads out" in dict(report.problems)["link.png"]


def test_numbers_that_are_not_finite_are_a_problem_of_that_picture_only(tmp_path):
    folder = fill(tmp_path / "w", 3)

    def one_bad(pictures):
        vectors = encode(pictures)
        vectors[1, 0] = np.nan
        return vectors

    report = update_index(folder, IDENTITY, one_bad)
    assert report.findable == 2 and "not finite" in report.problems[0][1]


def test_fingerprint_changes_with_pictures_and_words(tmp_path):
    folder = fill(tmp_path / "w", 2)
    before = wardrobe_scan.fingerprint(folder)
    update_index(folder, IDENTITY, encode)
    assert wardrobe_scan.fingerprint(folder) == before, "indexing itself is no change"
    (folder / "0_00.txt").write_text("a shirt")
    assert wardrobe_scan.fingerprint(folder) != before
