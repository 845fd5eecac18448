"""Indexing a folder of garment pictures into its store: only what is new or changed is read and encoded.

A file counts as unchanged when size and time are; otherwise its content hash decides. Whatever kills this at whatever
moment, the store holds whole items only and the next run goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from .garment_category import CATEGORIES, category_of, category_of_path
from .picture_files import EXTENSIONS, UnreadablePicture, content_hash, read_picture, thumbnail
from .wardrobe_store import EncoderIdentity, Item, WardrobeStore

# Encoders look at 224 to 512 pixels; attributes and palette need no more either.
READ_SIDE = 1024

Encode = Callable[[list[Image.Image]], np.ndarray]
Attributes = tuple[tuple[str, str, float], ...]
# (pictures, vectors) -> for each picture its attributes and the category that they say, "" for none
Describe = Callable[[list[Image.Image], np.ndarray], Sequence[tuple[Attributes, str]]]
Progress = Callable[[int, int, str], None]


@dataclass
class Report:
    """What one indexing run did, in numbers of files."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    copied: int = 0
    dropped: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    findable: int = 0

    def text(self) -> str:
        lines = [
            f"{self.findable} pictures can be found: {self.added} new, {self.changed} changed, {self.copied} of known "
            f"content, {self.unchanged} unchanged, {self.dropped} gone."
        ]
        if self.problems:
            lines.append(f"{len(self.problems)} files could not be used:")
            lines += [f"  {path}: {problem}" for path, problem in self.problems[:50]]
            if len(self.problems) > 50:
                lines.append(f"  … and {len(self.problems) - 50} more")
        return "\n".join(lines)


@dataclass(frozen=True)
class Found:
    """A picture file of the folder: relative path with slashes, stat, and what lies beside it in words."""

    path: str
    size: int
    mtime_ns: int
    caption: str = ""
    category: str = ""


def scan(pictures: str | Path) -> tuple[list[Found], list[tuple[str, str]]]:
    """Every picture file below a folder, sorted by path, and (path, reason) of those left out.

    Hidden folders are skipped. Links are followed only to files inside the folder.
    Captions: `<stem>.txt` beside the picture, or `metadata.jsonl` with `file_name` and `text` (and `category`).
    """
    root = os.path.realpath(pictures)
    found, left_out = [], []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        beside = set(names)
        notes = _metadata(Path(folder) / "metadata.jsonl") if "metadata.jsonl" in beside else {}
        for name in sorted(names):
            if name.startswith(".") or not name.lower().endswith(EXTENSIONS):
                continue
            file = os.path.join(folder, name)
            path = os.path.relpath(file, root).replace(os.sep, "/")
            if os.path.islink(file) and not os.path.realpath(file).startswith(root + os.sep):
                left_out.append((path, "a link that leads out of the folder"))
                continue
            try:
                stat = os.stat(file)
            except OSError as error:
                left_out.append((path, f"cannot be looked at ({error.strerror})"))
                continue
            caption, category = notes.get(name, ("", ""))
            words = os.path.splitext(name)[0] + ".txt"
            if not caption and words in beside:
                caption = _text(Path(folder) / words)
            category = category or category_of_path(path) or category_of(caption)
            found.append(Found(path, stat.st_size, stat.st_mtime_ns, caption, category))
    return sorted(found, key=lambda one: one.path), left_out


def _metadata(file: Path) -> dict[str, tuple[str, str]]:
    notes = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            category = str(record.get("category", "")).lower()
            category = category if category in CATEGORIES else category_of(category)
            notes[str(record["file_name"])] = (str(record.get("text", "")).strip(), category)
        except (ValueError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{file}: line {number} is not a JSON object with 'file_name' and 'text' ({error}): mend or remove it."
            ) from error
    return notes


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").strip()


def fingerprint(pictures: str | Path) -> str:
    """Changes when a picture or caption below the folder does; looks at names, sizes and times only."""
    import hashlib

    digest = hashlib.blake2b(digest_size=16)
    for one in scan(pictures)[0]:
        digest.update(repr(one).encode())
    return digest.hexdigest()


def update_index(
    pictures: str | Path,
    identity: EncoderIdentity,
    encode: Encode,
    *,
    describe: Describe | None = None,
    batch: int = 16,
    start_over: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Bring the folder's store up to date. `encode`: pictures -> [N, dim] or [N, tokens, dim], rows of length 1.

    `progress(done, total, path)` is called before each file and may raise to cancel: what is done stays.
    Raises OtherEncoder (a ValueError) when the store was made by another encoder, unless `start_over`.
    """
    found, left_out = scan(pictures)
    report = Report(problems=list(left_out))
    with WardrobeStore(pictures, create=True) as store:
        store.claim(identity, start_over=start_over)
        known = store.known()
        work = [one for one in found if known.get(one.path, (None, None))[:2] != [one.size, one.mtime_ns]]
        report.unchanged = len(found) - len(work)
        pending: list[tuple[Item, Image.Image]] = []
        for done, one in enumerate(work):
            if progress:
                progress(done, len(work), one.path)
            item, picture = _look_at(store, Path(pictures), one, known, report)
            if picture is not None:
                pending.append((item, picture))
            elif item is not None:
                store.put([item], identity)
            if len(pending) >= batch:
                store.put(_encoded(pending, encode, describe), identity)
                pending = []
        if pending:
            store.put(_encoded(pending, encode, describe), identity)
        if progress:
            progress(len(work), len(work), "")
        _update_words(store, found, identity)
        seen = {one.path for one in found}
        report.dropped = store.forget(
            path for path in known if path not in seen and not os.path.exists(os.path.join(pictures, path))
        )
        report.problems += store.problems()
        report.findable = store.count()[0]
    return report


def _look_at(
    store: WardrobeStore, root: Path, one: Found, known: dict, report: Report
) -> tuple[Item | None, Image.Image | None]:
    """(item, picture) to encode, (item, None) to store as it is, or (None, None) when there is nothing to do."""
    before = known.get(one.path)
    item = Item(one.path, one.size, one.mtime_ns, caption=one.caption, category=one.category)
    try:
        digest = content_hash(root / one.path)
        if before and before[2] == digest:
            store.touch(one.path, one.size, one.mtime_ns)
            report.unchanged += 1
            return None, None
        item = replace(item, hash=digest)
        twin = store.item_with_hash(digest)
        if twin:
            report.copied += 1
            category = one.category or twin.category
            return replace(twin, path=one.path, size=one.size, mtime_ns=one.mtime_ns, id=-1, category=category,
                           caption=one.caption or twin.caption), None  # fmt: skip
        picture = read_picture(root / one.path, READ_SIDE)
    except (UnreadablePicture, OSError) as error:
        return replace(item, problem=str(error)), None
    report.added += before is None
    report.changed += before is not None
    return replace(item, width=picture.width, height=picture.height, thumbnail=thumbnail(picture)), picture


def _encoded(pending: list[tuple[Item, Image.Image]], encode: Encode, describe: Describe | None) -> list[Item]:
    """The items to store; made before the transaction, so that no writer waits for another's network."""
    pictures = [picture for _, picture in pending]
    vectors = np.asarray(encode(pictures))
    if len(vectors) != len(pictures):
        raise ValueError(f"The encoder gave {len(vectors)} vectors for {len(pictures)} pictures.")
    words = describe(pictures, vectors) if describe else [((), "")] * len(pictures)
    items = []
    for (item, _), vector, (attributes, category) in zip(pending, vectors, words):
        if not np.isfinite(vector).all():
            items.append(replace(item, problem="the encoder gave numbers that are not finite"))
        else:
            items.append(replace(item, vector=vector, attributes=tuple(attributes), category=item.category or category))
    return items


def _update_words(store: WardrobeStore, found: list[Found], identity: EncoderIdentity) -> None:
    """Captions and categories written beside unchanged pictures since the last run."""
    stored = store.sidecar_facts()
    changed = []
    for one in found:
        caption, category = stored.get(one.path, ("", ""))
        if (one.caption and one.caption != caption) or (one.category and one.category != category):
            item = store.item_at(one.path)
            changed.append(replace(item, caption=one.caption or caption, category=one.category or category))
    if changed:
        store.put(changed, identity)
