"""Indexing a folder of garment pictures into its store: only what is new or changed is read and encoded.

A file counts as unchanged when size and time are; otherwise its content hash decides. Whatever kills this at whatever
moment, the store holds whole items only and the next run goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..picture.picture_files import UnreadablePicture, content_hash, read_picture, thumbnail
from ..regular_files import LeadsOut, NotRegular, inside
from .wardrobe_scan import Found, scan
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
        work = [one for one in found if known.get(one.path, (None, None))[:2] != (one.size, one.mtime_ns)]
        report.unchanged = len(found) - len(work)
        pending: list[tuple[Item, Image.Image]] = []
        for done, one in enumerate(work):
            if progress:
                progress(done, len(work), one.path)
            item, picture = _look_at(store, Path(pictures), one, known, report)
            if picture is not None and item is not None:
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
        seen, refused = {one.path for one in found}, {path for path, _ in left_out}
        report.dropped = store.forget(
            path
            for path in known
            if path not in seen and (path in refused or not os.path.exists(os.path.join(pictures, path)))
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
        file = inside(root, one.path)
        digest = content_hash(file)
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
                           caption=one.caption), None  # fmt: skip
        picture = read_picture(file, READ_SIDE)
    except (UnreadablePicture, NotRegular, LeadsOut) as error:
        return replace(item, problem=str(error)), None
    except OSError as error:
        return replace(item, problem=f"cannot be read ({error.strerror})"), None
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
        if one.path in stored and (one.caption != caption or (one.category and one.category != category)):
            item = store.item_at(one.path)
            changed.append(replace(item, caption=one.caption, category=one.category or category))
    if changed:
        store.put(changed, identity)
