"""The wardrobe's store: one SQLite file beside the pictures. Transactions make it safe against kills and two writers.

Nothing here knows a network: vectors arrive as arrays. Paths are kept relative to the pictures' folder, so the folder
can be moved with its store.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..regular_files import is_relative, odd_entry
from ..text_door import quoted
from .store_errors import StoreFailed, in_words

FORMAT = 1
STORE_FOLDER = ".atelier-wardrobe"
STORE_FILE = "items.sqlite"
MOST_NUMBERS = 65_536  # numbers of a vector, and vectors of a picture, that an encoder may have

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    hash TEXT, width INTEGER, height INTEGER, thumbnail BLOB, vector BLOB, category TEXT NOT NULL DEFAULT '',
    caption TEXT NOT NULL DEFAULT '', problem TEXT);
CREATE INDEX IF NOT EXISTS items_hash ON items (hash);
CREATE TABLE IF NOT EXISTS attributes (
    item INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE, kind TEXT NOT NULL, value TEXT NOT NULL,
    confidence REAL NOT NULL, PRIMARY KEY (item, kind, value)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attributes_value ON attributes (kind, value);
"""


@dataclass(frozen=True)
class EncoderIdentity:
    """What decides whether two vectors may be compared: `hash` covers weights and picture preparation."""

    name: str
    hash: str
    dim: int
    tokens: int = 1


@dataclass(frozen=True)
class Item:
    """One picture file. `vector`: float16 [tokens, dim], rows of length 1, or None with the `problem` that says why.

    `attributes`: (kind, value, confidence 0..1) triples. `path` is relative to the pictures' folder, with slashes.
    """

    path: str
    size: int
    mtime_ns: int
    hash: str | None = None
    width: int | None = None
    height: int | None = None
    thumbnail: bytes | None = None
    vector: np.ndarray | None = None
    category: str = ""
    caption: str = ""
    attributes: tuple[tuple[str, str, float], ...] = ()
    problem: str | None = None
    id: int = field(default=-1, compare=False)


class OtherEncoder(ValueError):
    """The store holds vectors of another encoder."""


class WardrobeStore:
    """The store of one folder of pictures. Open it, use it, close it; every method that writes is one transaction.

    The folder may bring a store of somebody else: one that leads out of it by a link or by a path, or that holds more
    than tables, is refused. Every method raises StoreFailed for what SQLite or the disk refuses.
    """

    def __init__(self, pictures: str | Path, *, create: bool = False):
        self.pictures = Path(pictures)
        self.folder = self.pictures / STORE_FOLDER
        file = self.folder / STORE_FILE
        if create and not self.folder.is_symlink():
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise StoreFailed(
                    f"The wardrobe's index cannot be written into {self.pictures} ({error.strerror}): "
                    "give the folder write permission or copy the pictures below the host's input folder."
                ) from error
        if not create and not file.exists():
            raise ValueError(f"{self.pictures} has no wardrobe index yet: run Index Wardrobe on it first.")
        self._require_plain_files()
        with self._in_words():
            # Autocommit mode: transactions are opened by hand, with the write lock taken at their start.
            self._base = sqlite3.connect(file, timeout=120.0, isolation_level=None)
        try:
            self._open(create)
        except BaseException:
            self.close()
            raise

    def _require_plain_files(self) -> None:
        """Nothing of the store may be a link, a pipe or a device: it would be written or waited for elsewhere."""
        with in_words(self.folder):
            odd = odd_entry(self.folder)
        if odd is not None:
            raise StoreFailed(
                f"{odd.name} in {odd.parent} is a link or no plain file, so the wardrobe's index is left alone: "
                "remove it and index again."
            )

    def _open(self, create: bool) -> None:
        with self._in_words():
            for pragma in ("foreign_keys = ON", "synchronous = FULL", "trusted_schema = OFF"):
                self._base.execute(f"PRAGMA {pragma}")
            kinds = {kind for (kind,) in self._base.execute("SELECT DISTINCT type FROM sqlite_master")}
        if create and not kinds:
            with self.writing():
                for statement in _SCHEMA.split(";"):
                    self._base.execute(statement)
                self._set_default("format", FORMAT)
                self._set_default("store", uuid.uuid4().hex)
                self._set_default("version", 0)
        elif not kinds <= {"table", "index"}:
            raise self._foreign("it holds more than tables")
        found = self.fact("format")
        if found != FORMAT:
            raise ValueError(
                f"The wardrobe index in {self.folder} has format {found}, this pack reads {FORMAT}: "
                "delete that folder and index again."
            )
        for (path,) in self._ask("SELECT path FROM items"):
            if not is_relative(path):
                raise self._foreign(f"it names a file outside the wardrobe, {quoted(str(path))}")
        if not all(isinstance(one, (str, int)) and is_relative(str(one)) for one in self._state()):
            raise self._foreign("its version is no name of a file")

    def _foreign(self, reason: str) -> StoreFailed:
        return StoreFailed(
            f"The wardrobe index in {self.folder} was not made by this pack ({reason}): delete that folder and index "
            "again."
        )

    def _in_words(self) -> AbstractContextManager[None]:
        return in_words(self.folder)

    def _ask(self, query: str, values: tuple = ()) -> list[tuple]:
        with self._in_words():
            return self._base.execute(query, values).fetchall()

    def __enter__(self) -> WardrobeStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction with the write lock from its start; whatever goes wrong inside leaves the store as it was."""
        with self._in_words():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:  # a full disk ends it by itself
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside belongs to one state of the store."""
        with self._in_words():
            self._base.execute("BEGIN")
            try:
                yield
            finally:
                self._base.execute("COMMIT")

    # --- facts -----------------------------------------------------------------------------------------------------
    def fact(self, name: str) -> Any:
        rows = self._ask("SELECT value FROM facts WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def _set_default(self, name: str, value: object) -> None:
        self._base.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))

    def _set(self, name: str, value: object) -> None:
        self._base.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                           (name, value))  # fmt: skip

    def set_fact(self, name: str, value: object) -> None:
        with self.writing():
            self._set(name, value)

    @property
    def version(self) -> str:
        """Names this state of the store: another one after every change of items."""
        return "-".join(map(str, self._state()))

    def _state(self) -> tuple:
        return self.fact("store"), self.fact("version")

    def encoder(self) -> EncoderIdentity | None:
        text = self.fact("encoder")
        if not text:
            return None
        try:
            found = EncoderIdentity(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise self._foreign("its encoder cannot be read") from error
        sizes = (found.dim, found.tokens)
        if not all(type(size) is int and 0 < size <= MOST_NUMBERS for size in sizes) or type(found.hash) is not str:
            raise self._foreign("its encoder's sizes make no sense")
        return found

    def claim(self, identity: EncoderIdentity, *, start_over: bool = False) -> None:
        """Make this the store of `identity`'s vectors. Raises OtherEncoder when it holds another's.

        `start_over`: forget the other encoder's items instead; the pictures themselves are never touched.
        """
        if self.encoder() == identity:
            return
        with self.writing():
            if self.encoder() not in (None, identity):
                if not start_over:
                    self._require(identity)
                self._base.execute("DELETE FROM items")
                self._base.execute("DELETE FROM facts WHERE name NOT IN ('format', 'store', 'version')")
                self._bump()
            self._set("encoder", json.dumps(identity.__dict__, sort_keys=True))

    def _require(self, identity: EncoderIdentity) -> None:
        found = self.encoder()
        if found != identity:
            name = f"{found.name!r} ({found.hash[:8]}…, {found.dim} numbers)" if found else "no encoder"
            raise OtherEncoder(
                f"This wardrobe was indexed with {name}, now {identity.name!r} ({identity.hash[:8]}…, {identity.dim} "
                "numbers) is connected: connect the encoder that built it, or switch on 'start over' in Index Wardrobe."
            )

    def _bump(self) -> None:
        self._base.execute("UPDATE facts SET value = value + 1 WHERE name = 'version'")

    # --- items -----------------------------------------------------------------------------------------------------
    def put(self, items: Iterable[Item], identity: EncoderIdentity) -> None:
        """Add or replace items by path, all of them or none. Raises OtherEncoder if the store changed hands
        meanwhile.
        """
        with self.writing():
            self._require(identity)
            for item in items:
                self._put(item, identity)
            self._bump()

    def _put(self, item: Item, identity: EncoderIdentity) -> None:
        vector = None
        if item.vector is not None:
            array = np.ascontiguousarray(item.vector, dtype=np.float16).reshape(-1, identity.dim)
            if array.shape[0] != identity.tokens:
                raise ValueError(f"{item.path}: {array.shape[0]} vectors given, {identity.tokens} expected.")
            vector = array.tobytes()
        (number,) = self._base.execute(
            "INSERT INTO items (path, size, mtime_ns, hash, width, height, thumbnail, vector, category, caption,"
            " problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET size = excluded.size,"
            " mtime_ns = excluded.mtime_ns, hash = excluded.hash, width = excluded.width, height = excluded.height,"
            " thumbnail = excluded.thumbnail, vector = excluded.vector, category = excluded.category,"
            " caption = excluded.caption, problem = excluded.problem RETURNING id",
            (item.path, item.size, item.mtime_ns, item.hash, item.width, item.height, item.thumbnail, vector,
             item.category, item.caption, item.problem),
        ).fetchone()  # fmt: skip
        self._base.execute("DELETE FROM attributes WHERE item = ?", (number,))
        self._base.executemany("INSERT OR REPLACE INTO attributes VALUES (?, ?, ?, ?)",
                               [(number, *attribute) for attribute in item.attributes])  # fmt: skip

    def touch(self, path: str, size: int, mtime_ns: int) -> None:
        """The file was written again with the same content: keep everything, note the new stat."""
        with self.writing():
            self._base.execute("UPDATE items SET size = ?, mtime_ns = ? WHERE path = ?", (size, mtime_ns, path))

    def forget(self, paths: Iterable[str]) -> int:
        """Drop these items; returns how many there were. Without a path nothing is written."""
        paths = list(paths)
        if not paths:
            return 0
        with self.writing():
            dropped = sum(self._base.execute("DELETE FROM items WHERE path = ?", (path,)).rowcount for path in paths)
            if dropped:
                self._bump()
        return dropped

    def known(self) -> dict[str, tuple[int, int, str | None]]:
        """path -> (size, mtime_ns, hash) of every item."""
        return {
            path: (size, mtime_ns, digest)
            for path, size, mtime_ns, digest in self._ask("SELECT path, size, mtime_ns, hash FROM items")
        }

    def sidecar_facts(self) -> dict[str, tuple[str, str]]:
        """path -> (caption, category) of every item."""
        return {path: (caption, category)
                for path, caption, category in self._ask("SELECT path, caption, category FROM items")}  # fmt: skip

    def item(self, number: int) -> Item:
        return self._one("id = ?", number)

    def item_at(self, path: str) -> Item:
        return self._one("path = ?", path)

    def item_with_hash(self, digest: str) -> Item | None:
        """An item that has a vector and the same content, for a file that was renamed or copied."""
        rows = self._ask("SELECT id FROM items WHERE hash = ? AND vector IS NOT NULL ORDER BY path LIMIT 1", (digest,))
        return self.item(rows[0][0]) if rows else None

    def _one(self, where: str, value: object) -> Item:
        rows = self._ask(
            "SELECT id, path, size, mtime_ns, hash, width, height, thumbnail, vector, category, caption, problem"
            f" FROM items WHERE {where}",
            (value,),
        )
        if not rows:
            raise ValueError(f"The wardrobe has no item {value!r}: it was indexed again since; search again.")
        number, path, size, mtime_ns, digest, width, height, small, vector, category, caption, problem = rows[0]
        if not all(isinstance(text, str) for text in (category, caption)):
            raise self._foreign(f"the words of {quoted(path)} are no text")
        identity = self.encoder()
        if vector is not None:
            data = self._whole(vector, identity)
            assert identity is not None  # `_whole` refuses a vector without an encoder
            vector = np.frombuffer(data, dtype=np.float16).reshape(-1, identity.dim)
        attributes = self._ask(
            "SELECT kind, value, confidence FROM attributes WHERE item = ? ORDER BY kind, value", (number,)
        )
        return Item(path, size, mtime_ns, digest, width, height, small, vector, category, caption,
                    tuple(attributes), problem, id=number)  # fmt: skip

    def count(self) -> tuple[int, int]:
        """(items that can be found, items with a problem)."""
        return self._ask("SELECT COUNT(vector), COUNT(problem) FROM items")[0]

    def problems(self) -> list[tuple[str, str]]:
        return self._ask("SELECT path, problem FROM items WHERE problem IS NOT NULL ORDER BY path")

    def vectors(self) -> Iterator[tuple[int, bytes]]:
        """(id, bytes of the float16 vector) in the order of paths: the order of rows, whatever the order of
        indexing.
        """
        identity = self.encoder()
        with self._in_words():
            for number, vector in self._base.execute(
                "SELECT id, vector FROM items WHERE vector IS NOT NULL ORDER BY path"
            ):
                yield number, self._whole(vector, identity)

    def _whole(self, vector: object, identity: EncoderIdentity | None) -> bytes:
        if not isinstance(vector, bytes) or identity is None or len(vector) != 2 * identity.tokens * identity.dim:
            raise self._foreign("a vector has not the encoder's size")
        return vector

    def with_attribute(self, kind: str, value: str) -> set[int]:
        """Ids whose attribute of that kind (or whose category) has that value; letters' case does not matter."""
        if kind == "category":
            rows = self._ask("SELECT id FROM items WHERE category = ? COLLATE NOCASE", (value,))
        elif kind == "caption":
            rows = self._ask("SELECT id FROM items WHERE instr(lower(caption), lower(?))", (value,))
        else:
            rows = self._ask(
                "SELECT item FROM attributes WHERE kind = ? COLLATE NOCASE AND value = ? COLLATE NOCASE", (kind, value)
            )
        return {number for (number,) in rows}

    def attribute_kinds(self) -> list[str]:
        return [kind for (kind,) in self._ask("SELECT DISTINCT kind FROM attributes ORDER BY kind")]
