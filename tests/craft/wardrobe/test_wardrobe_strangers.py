"""A wardrobe's folder that comes from somebody else: links, pipes, devices, and an index that leads out of it."""

import json
import os
import shutil
import sqlite3

import numpy as np
import pytest
from atelier.craft.picture.picture_files import UnreadablePicture, content_hash, read_picture
from atelier.craft.regular_files import LeadsOut, NotRegular, inside, is_relative, open_regular
from atelier.craft.wardrobe import wardrobe_search
from atelier.craft.wardrobe.store_errors import StoreFailed
from atelier.craft.wardrobe.wardrobe_index import update_index
from atelier.craft.wardrobe.wardrobe_scan import fingerprint, scan
from atelier.craft.wardrobe.wardrobe_store import STORE_FOLDER, EncoderIdentity, WardrobeStore
from PIL import Image

IDENTITY = EncoderIdentity("tiny", "abc123", 12)
links = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has neither pipes nor free links")


def encode(pictures):
    rows = [np.asarray(p.resize((2, 2))).astype(float).ravel() + 1 for p in pictures]
    return np.stack([row / np.linalg.norm(row) for row in rows])


@pytest.fixture
def wardrobe(tmp_path):
    """A folder of three pictures, and a picture and a text outside of it."""
    folder, outside = tmp_path / "w", tmp_path / "outside"
    for place, count in ((folder, 3), (outside, 1)):
        place.mkdir()
        for number in range(count):
            Image.new("RGB", (16, 16), (40 * number, 90, len(place.name))).save(place / f"{number}.png")
    (outside / "secret.txt").write_text("a secret")
    (outside / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "text": "a secret"}))
    return folder


def captions(folder):
    with WardrobeStore(folder) as store:
        return {path: caption for path, (caption, _) in store.sidecar_facts().items()}


@links
def test_only_regular_files_are_opened(wardrobe):
    for name in ("a.png", "b.txt", "0.txt", "metadata.jsonl"):
        os.mkfifo(wardrobe / name)
    (wardrobe / "zero.png").symlink_to("/dev/zero")
    (wardrobe / "1.txt").symlink_to("/dev/zero")
    (wardrobe / "folder.png").mkdir()
    report = update_index(wardrobe, IDENTITY, encode)
    assert report.findable == 3
    problems = dict(report.problems)
    assert problems["a.png"] == problems["0.txt"] == problems["metadata.jsonl"] == "not a regular file"
    assert "leads out" in problems["zero.png"] and "leads out" in problems["1.txt"]
    assert "b.txt" not in problems, "no picture stands beside it: it is not looked at"
    assert set(captions(wardrobe).values()) == {""}
    assert fingerprint(wardrobe) == fingerprint(wardrobe)


@links
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read in (open_regular, content_hash):
        with pytest.raises(NotRegular, match="not a regular file"):
            read(tmp_path / "a.png")
    for odd in (tmp_path / "a.png", tmp_path, "/dev/zero"):
        with pytest.raises(UnreadablePicture):
            read_picture(odd)


@links
def test_links_that_lead_out_are_named_and_left_alone(wardrobe, tmp_path):
    (wardrobe / "out.png").symlink_to(tmp_path / "outside" / "0.png")
    (wardrobe / "0.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (wardrobe / "metadata.jsonl").symlink_to(tmp_path / "outside" / "metadata.jsonl")
    (wardrobe / "sub").symlink_to(tmp_path / "outside", target_is_directory=True)
    (wardrobe / "twin.png").symlink_to(wardrobe / "1.png")
    report = update_index(wardrobe, IDENTITY, encode)
    problems = dict(report.problems)
    assert report.findable == 4, "a link inside the folder is followed"
    assert all("leads out" in problems[name] for name in ("out.png", "0.txt", "metadata.jsonl"))
    assert "not followed" in problems["sub"]
    assert "secret" not in str(captions(wardrobe))


@links
def test_the_wardrobe_itself_may_be_a_link(wardrobe, tmp_path):
    (tmp_path / "link").symlink_to(wardrobe, target_is_directory=True)
    assert update_index(tmp_path / "link", IDENTITY, encode).findable == 3
    assert (wardrobe / STORE_FOLDER / "items.sqlite").exists()


@links
def test_a_picture_that_became_a_link_is_no_longer_found(wardrobe, tmp_path):
    update_index(wardrobe, IDENTITY, encode)
    (wardrobe / "1.png").unlink()
    (wardrobe / "1.png").symlink_to(tmp_path / "outside" / "0.png")
    with pytest.raises(LeadsOut):
        inside(wardrobe, "1.png")
    report = update_index(wardrobe, IDENTITY, encode)
    assert (report.findable, report.dropped) == (2, 1)


@links
@pytest.mark.parametrize("what", ["folder", "items.sqlite", "items.sqlite-journal", "vectors-x.npy", "pipe"])
def test_an_index_that_is_a_link_is_left_alone(wardrobe, tmp_path, what):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    index = wardrobe / STORE_FOLDER
    if what == "folder":
        index.symlink_to(outside, target_is_directory=True)
    else:
        update_index(wardrobe, IDENTITY, encode)
        (index / what).unlink(missing_ok=True)
        os.mkfifo(index / what) if what == "pipe" else (index / what).symlink_to(outside / what)
    for create in (True, False):
        with pytest.raises(ValueError, match=r"is a link or no plain file|has no wardrobe index"):
            WardrobeStore(wardrobe, create=create)
    with pytest.raises(StoreFailed, match="left alone: remove it"):
        update_index(wardrobe, IDENTITY, encode)
    assert not list(outside.iterdir())


def changed(folder, statement, *values):
    update_index(folder, IDENTITY, encode)
    base = sqlite3.connect(folder / STORE_FOLDER / "items.sqlite")
    with base:
        base.execute(statement, values)
    base.close()


def searched(folder):
    from atelier.craft.wardrobe.composed_query import by_text

    with WardrobeStore(folder) as store:
        vectors = wardrobe_search.open_vectors(store)
        return [store.item(hit.id) for hit in wardrobe_search.search(vectors, by_text(vectors.mean.float()), 3)]


@pytest.mark.parametrize(
    "statement, value",
    [
        ("UPDATE items SET path = ? WHERE path = '1.png'", "../outside/0.png"),
        ("UPDATE items SET path = ? WHERE path = '1.png'", "/etc/hostname"),
        ("UPDATE items SET path = ? WHERE path = '1.png'", "a/../../outside/0.png"),
        ("UPDATE items SET path = ? WHERE path = '1.png'", b"\xff"),
        ("UPDATE items SET vector = ? WHERE path = '1.png'", b"12"),
        ("UPDATE items SET vector = ? WHERE path = '1.png'", "text"),
        ("UPDATE items SET caption = ?", b"bytes"),
        ("UPDATE facts SET value = ? WHERE name = 'encoder'", "[]"),
        ("UPDATE facts SET value = ? WHERE name = 'encoder'", "not json"),
        ("UPDATE facts SET value = ? WHERE name = 'encoder'",
         json.dumps({"name": "tiny", "hash": "abc123", "dim": 10**15, "tokens": 1})),
        ("UPDATE facts SET value = ? WHERE name = 'store'", "../../x"),
        ("CREATE TRIGGER t AFTER UPDATE ON items BEGIN DELETE FROM facts WHERE name = 'x'; END", None),
        ("CREATE VIEW v AS SELECT 1", None),
    ],
)  # fmt: skip
def test_an_index_of_somebody_else_is_refused_where_it_makes_no_sense(wardrobe, statement, value):
    changed(wardrobe, statement, *([] if value is None else [value]))
    with pytest.raises(StoreFailed, match=r"was not made by this pack .*: delete that folder and index again"):
        searched(wardrobe)


def test_an_index_that_is_no_database_is_one_sentence(wardrobe):
    update_index(wardrobe, IDENTITY, encode)
    (wardrobe / STORE_FOLDER / "items.sqlite").write_bytes(b"this is no database " * 100)
    with pytest.raises(StoreFailed, match="delete that folder and index again"):
        update_index(wardrobe, IDENTITY, encode)


def test_a_map_of_somebody_else_is_laid_out_anew(wardrobe):
    update_index(wardrobe, IDENTITY, encode)
    right = [item.path for item in searched(wardrobe)]
    for spoil in (
        lambda rows, vectors: rows.write_bytes(b"PK" + b"\0" * 100),
        lambda rows, vectors: np.savez_compressed(rows, ids=np.zeros(10**6, np.int64)),
        lambda rows, vectors: np.savez(rows, ids=np.arange(3.0), mean=np.zeros(12), centred_norm=np.ones(3)),
        lambda rows, vectors: np.save(vectors, np.float16(1)),
        lambda rows, vectors: np.save(vectors, np.array([{}]), allow_pickle=True),
    ):
        (rows,) = (wardrobe / STORE_FOLDER).glob("rows-*.npz")
        (vectors,) = (wardrobe / STORE_FOLDER).glob("vectors-*.npy")
        spoil(rows, vectors)
        assert [item.path for item in searched(wardrobe)] == right


def test_paths_by_their_words():
    assert all(map(is_relative, ("a.png", "sub/a.png", "..a/b..png", ".hidden")))
    for path in ("", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\0b", None, 3, b"a"):
        assert not is_relative(path)


def test_an_unchanged_wardrobe_is_indexed_and_searched_without_writing(wardrobe, monkeypatch):
    update_index(wardrobe, IDENTITY, encode)
    searched(wardrobe)

    def refuse(*_):
        raise AssertionError("something is written")

    monkeypatch.setattr(WardrobeStore, "writing", refuse)
    assert update_index(wardrobe, IDENTITY, encode).findable == 3
    assert len(searched(wardrobe)) == 3


def test_words_that_cannot_be_read_are_named(wardrobe, monkeypatch):
    (wardrobe / "0.txt").write_text("a dress")
    (wardrobe / "1.txt").write_text("x" * 2_000)
    (wardrobe / "2.txt").write_bytes(b"a" * 90_000)
    (wardrobe / "metadata.jsonl").write_text("{}")
    own = os.open

    def refused(path, *rest, **named):
        if str(path).endswith(("0.txt", "metadata.jsonl")):
            raise PermissionError(13, "Permission denied", path)
        return own(path, *rest, **named)

    monkeypatch.setattr(os, "open", refused)  # also for the superuser, whom no permission stops
    problems = dict(update_index(wardrobe, IDENTITY, encode).problems)
    assert problems["0.txt"] == problems["metadata.jsonl"] == "cannot be read (Permission denied)"
    assert "a word of 2,000 characters" in problems["1.txt"] and "more than 80,000 bytes" in problems["2.txt"]


@pytest.mark.parametrize(
    "line, says",
    [
        ("nonsense", "line 2 is left out: it is not JSON"),
        ("[1]", "line 2 is left out: it is not a JSON object"),
        ('{"text": "a dress"}', "line 2 is left out: it is not a JSON object"),
        ('{"file_name": "0.png", "text": 3}', "line 2 .* text is a int"),
        ('{"file_name": "0.png", "text": "a \\ud800"}', "line 2 .* half a character"),
        ('{"file_name": "none.png", "text": "a dress"}', "line 2 .* no picture 'none.png'"),
        ("[" * 100_000, "line 2 is left out"),
        ('{"file_name": "0.png", "a": ' + "1" * 5_000 + "}", "line 2 is left out: it is not JSON"),
    ],
)
def test_a_bad_line_of_metadata_is_named_and_the_others_count(wardrobe, line, says):
    good = json.dumps({"file_name": "1.png", "text": "a red\u2028dress", "category": None}, ensure_ascii=False)
    (wardrobe / "metadata.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")
    report = update_index(wardrobe, IDENTITY, encode)
    (problem,) = report.problems
    assert problem[0] == "metadata.jsonl" and __import__("re").search(says, problem[1]), problem
    assert captions(wardrobe)["1.png"] == "a red\u2028dress" and report.findable == 3


def test_words_in_every_usual_encoding(wardrobe):
    for name, encoding in (("0.txt", "utf-8-sig"), ("1.txt", "utf-16"), ("2.txt", "cp1252")):
        (wardrobe / name).write_bytes("robe d’été".encode(encoding))
    update_index(wardrobe, IDENTITY, encode)
    assert set(captions(wardrobe).values()) == {"robe d’été"}


def test_other_types_of_picture_are_named(wardrobe):
    (wardrobe / "IMG_1.HEIC").write_bytes(b"x")
    shutil.copy(wardrobe / "0.png", wardrobe / "four.jfif")
    report = update_index(wardrobe, IDENTITY, encode)
    assert report.findable == 4 and "not read" in dict(report.problems)["IMG_1.HEIC"]


@links
def test_a_name_that_is_not_utf8_is_named(wardrobe):
    odd = os.fsencode(wardrobe) + b"/caf\xe9.png"
    try:
        shutil.copy(os.fsencode(wardrobe / "0.png"), odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    report = update_index(wardrobe, IDENTITY, encode)
    assert report.findable == 3 and "not UTF-8" in report.text()
    report.text().encode("utf-8")
    assert len(scan(wardrobe)[0]) == 3
