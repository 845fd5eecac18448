"""The wardrobe's store: one SQLite file beside the pictures. Transactions make it safe against kills and two writers.

Nothing here knows a network: vectors arrive as arrays. Paths are kept relative to the pictures' folder, so the folder
can be moved with its store.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FORMAT = 1
STORE_FOLDER = ".atelier-wardrobe"
STORE_FILE = "items.sqlite"

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
    """The store of one folder of pictures. Open it, use it, close it; every method that writes is one transaction."""

    def __init__(self, pictures: str | Path, *, create: bool = False):
        self.pictures = Path(pictures)
        self.folder = self.pictures / STORE_FOLDER
        file = self.folder / STORE_FILE
        if create:
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise ValueError(
                    f"The wardrobe's index cannot be written into {self.pictures} ({error.strerror}): "
                    "give the folder write permission or copy the pictures below the host's input folder."
                ) from error
        elif not file.exists():
            raise ValueError(f"{self.pictures} has no wardrobe index yet: run Index Wardrobe on it first.")
        # Autocommit mode: transactions are opened by hand, with the write lock taken at their start.
        self._base = sqlite3.connect(file, timeout=120.0, isolation_level=None)
        self._base.execute("PRAGMA foreign_keys = ON")
        self._base.execute("PRAGMA synchronous = FULL")
        if create:
            with self.writing():
                for statement in _SCHEMA.split(";"):
                    self._base.execute(statement)
                self._set_default("format", FORMAT)
                self._set_default("store", uuid.uuid4().hex)
                self._set_default("version", 0)
        found = self.fact("format")
        if found != FORMAT:
            self.close()
            raise ValueError(
                f"The wardrobe index in {self.folder} has format {found}, this pack reads {FORMAT}: "
                "delete that folder and index again."
            )

    def __enter__(self) -> WardrobeStore:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction with the write lock from its start; whatever goes wrong inside leaves the store as it was."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside belongs to one state of the store."""
        self._base.execute("BEGIN")
        try:
            yield
        finally:
            self._base.execute("COMMIT")

    # --- facts -----------------------------------------------------------------------------------------------------
    def fact(self, name: str):
        row = self._base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _set_default(self, name: str, value) -> None:
        self._base.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))

    def _set(self, name: str, value) -> None:
        self._base.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                           (name, value))  # fmt: skip

    def set_fact(self, name: str, value) -> None:
        with self.writing():
            self._set(name, value)

    @property
    def version(self) -> str:
        """Names this state of the store: another one after every change of items."""
        return f"{self.fact('store')}-{self.fact('version')}"

    def encoder(self) -> EncoderIdentity | None:
        text = self.fact("encoder")
        return EncoderIdentity(**json.loads(text)) if text else None

    def claim(self, identity: EncoderIdentity, *, start_over: bool = False) -> None:
        """Make this the store of `identity`'s vectors. Raises OtherEncoder when it holds another's.

        `start_over`: forget the other encoder's items instead; the pictures themselves are never touched.
        """
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
        """Drop these items; returns how many there were."""
        with self.writing():
            dropped = sum(self._base.execute("DELETE FROM items WHERE path = ?", (path,)).rowcount for path in paths)
            if dropped:
                self._bump()
        return dropped

    def known(self) -> dict[str, tuple[int, int, str | None]]:
        """path -> (size, mtime_ns, hash) of every item."""
        return {path: rest for path, *rest in self._base.execute("SELECT path, size, mtime_ns, hash FROM items")}

    def sidecar_facts(self) -> dict[str, tuple[str, str]]:
        """path -> (caption, category) of every item."""
        return {path: (caption, category)
                for path, caption,
                category in self._base.execute("SELECT path, caption, category FROM items")}  # fmt: skip

    def item(self, number: int) -> Item:
        return self._one("id = ?", number)

    def item_at(self, path: str) -> Item:
        return self._one("path = ?", path)

    def item_with_hash(self, digest: str) -> Item | None:
        """An item that has a vector and the same content, for a file that was renamed or copied."""
        row = self._base.execute(
            "SELECT id FROM items WHERE hash = ? AND vector IS NOT NULL ORDER BY path LIMIT 1", (digest,)
        ).fetchone()
        return self.item(row[0]) if row else None

    def _one(self, where: str, value) -> Item:
        row = self._base.execute(
            "SELECT id, path, size, mtime_ns, hash, width, height, thumbnail, vector, category, caption, problem"
            f" FROM items WHERE {where}",
            (value,),
        ).fetchone()
        if row is None:
            raise ValueError(f"The wardrobe has no item {value!r}: it was indexed again since; search again.")
        number, path, size, mtime_ns, digest, width, height, small, vector, category, caption, problem = row
        if vector is not None:
            vector = np.frombuffer(vector, dtype=np.float16).reshape(-1, self.encoder().dim)
        attributes = self._base.execute(
            "SELECT kind, value, confidence FROM attributes WHERE item = ? ORDER BY kind, value", (number,)
        ).fetchall()
        return Item(path, size, mtime_ns, digest, width, height, small, vector, category, caption,
                    tuple(attributes), problem, id=number)  # fmt: skip

    def count(self) -> tuple[int, int]:
        """(items that can be found, items with a problem)."""
        return self._base.execute("SELECT COUNT(vector), COUNT(problem) FROM items").fetchone()

    def problems(self) -> list[tuple[str, str]]:
        return self._base.execute("SELECT path, problem FROM items WHERE problem IS NOT NULL ORDER BY path").fetchall()

    def vectors(self) -> Iterator[tuple[int, bytes]]:
        """(id, bytes of the float16 vector) in the order of paths: the order of rows, whatever the order of
        indexing.
        """
        yield from self._base.execute("SELECT id, vector FROM items WHERE vector IS NOT NULL ORDER BY path")

    def with_attribute(self, kind: str, value: str) -> set[int]:
        """Ids whose attribute of that kind (or whose category) has that value; letters' case does not matter."""
        if kind == "category":
            rows = self._base.execute("SELECT id FROM items WHERE category = ? COLLATE NOCASE", (value,))
        elif kind == "caption":
            rows = self._base.execute("SELECT id FROM items WHERE instr(lower(caption), lower(?))", (value,))
        else:
            rows = self._base.execute(
                "SELECT item FROM attributes WHERE kind = ? COLLATE NOCASE AND value = ? COLLATE NOCASE", (kind, value)
            )
        return {number for (number,) in rows}

    def attribute_kinds(self) -> list[str]:
        return [kind for (kind,) in self._base.execute("SELECT DISTINCT kind FROM attributes ORDER BY kind")]
