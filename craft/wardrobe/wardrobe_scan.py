"""What lies in a wardrobe's folder: its picture files, the words beside them, and what is left alone and why.

The folder may come from somebody else. Only regular files are opened, and only those that lie in it, links resolved.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..garments import LABELS, category_of, category_of_path
from ..picture.picture_files import EXTENSIONS, OTHER_PICTURES
from ..regular_files import LeadsOut, NotRegular, inside, open_regular
from ..text_door import LONGEST_TEXT, checked_text, quoted

METADATA = "metadata.jsonl"
MOST_METADATA = 256 * 2**20  # bytes: a line for each of a million pictures


@dataclass(frozen=True)
class Found:
    """A picture file of the folder: relative path with slashes, stat, and what lies beside it in words."""

    path: str
    size: int
    mtime_ns: int
    caption: str = ""
    category: str = ""


LeftOut = list[tuple[str, str]]  # (path, reason)


def scan(pictures: str | Path) -> tuple[list[Found], LeftOut]:
    """Every picture file below a folder, sorted by path, and (path, reason) of those left out.

    Hidden folders are skipped. Links are followed only to files inside the folder.
    Captions: `<stem>.txt` beside the picture, or `metadata.jsonl` with `file_name` and `text` (and `category`).
    """
    root = os.path.realpath(pictures)
    found: list[Found] = []
    left_out: LeftOut = []

    def unreadable(error: OSError) -> None:
        left_out.append((_relative(root, error.filename), f"cannot be looked into ({error.strerror})"))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            left_out.append((_relative(root, os.path.join(folder, name)), "a link to a folder, which is not followed"))
        _scan_folder(root, folder, sorted(name for name in names if not name.startswith(".")), found, left_out)
    return sorted(found, key=lambda one: one.path), left_out


def _scan_folder(root: str, folder: str, names: list[str], found: list[Found], left_out: LeftOut) -> None:
    beside = set(names)
    notes = _metadata(root, os.path.join(folder, METADATA), beside, left_out) if METADATA in beside else {}
    for name in names:
        path = _relative(root, os.path.join(folder, name))
        if name.lower().endswith(OTHER_PICTURES):
            left_out.append((path, f"a type of picture that is not read ({', '.join(EXTENSIONS)} are)"))
        if not name.lower().endswith(EXTENSIONS):
            continue
        try:
            about = _looked_at(root, os.path.join(folder, name))
        except (LeadsOut, NotRegular, OSError) as error:
            left_out.append((path, _reason(error)))
            continue
        caption, category = notes.get(name, ("", ""))
        words = os.path.splitext(name)[0] + ".txt"
        if not caption and words in beside:
            caption = _caption(root, os.path.join(folder, words), left_out)
        category = category or category_of_path(path) or category_of(caption)
        found.append(Found(path, about.st_size, about.st_mtime_ns, caption, category))


def fingerprint(pictures: str | Path) -> str:
    """Changes when a picture or caption below the folder does; looks at names, sizes and times only."""
    digest = hashlib.blake2b(digest_size=16)
    for one in scan(pictures)[0]:
        digest.update(repr(one).encode())
    return digest.hexdigest()


def _relative(root: str, file: str) -> str:
    """The path below the root with slashes, as text that can be shown and stored, whatever bytes the name has."""
    path = os.path.relpath(file, root).replace(os.sep, "/")
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _looked_at(root: str, file: str) -> os.stat_result:
    """The stat of a picture that can be stored and read. Raises LeadsOut, NotRegular, OSError."""
    path = os.path.relpath(file, root).replace(os.sep, "/")
    if path != _relative(root, file):
        raise NotRegular("its name is not UTF-8: rename it")
    about = os.stat(inside(root, path))
    if not stat.S_ISREG(about.st_mode):
        raise NotRegular("not a regular file")
    return about


def _reason(error: Exception) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)


def _words(root: str, file: str, most: int) -> str:
    """The text of a file of words: UTF-8, UTF-16 with its mark, or else Windows' Latin.

    Raises LeadsOut, NotRegular (also for more than `most` bytes), OSError.
    """
    with open_regular(inside(root, os.path.relpath(file, root).replace(os.sep, "/"))) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise NotRegular(f"more than {most:,} bytes of words")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _caption(root: str, file: str, left_out: LeftOut) -> str:
    try:
        return checked_text(_words(root, file, 4 * LONGEST_TEXT).strip(), "caption")
    except (OSError, ValueError) as error:
        left_out.append((_relative(root, file), _reason(error)))
        return ""


def _metadata(root: str, file: str, names: set[str], left_out: LeftOut) -> dict[str, tuple[str, str]]:
    """name -> (caption, category) of metadata.jsonl. A line that cannot be used is left out by its number."""
    notes: dict[str, tuple[str, str]] = {}
    path = _relative(root, file)
    try:
        text = _words(root, file, MOST_METADATA)
    except (OSError, ValueError) as error:
        left_out.append((path, _reason(error)))
        return notes
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            name, caption, category = _record(line)
            if name not in names:
                raise ValueError(f"there is no picture {quoted(name)} beside it")
            notes[name] = (caption, category)
        except (ValueError, RecursionError) as error:
            left_out.append((path, f"line {number} is left out: {error}"))
    return notes


def _record(line: str) -> tuple[str, str, str]:
    """(file name, caption, category) of one line. Raises ValueError."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({str(error)[:80]})") from error
    if not isinstance(record, dict) or not isinstance(record.get("file_name"), str):
        raise ValueError("it is not a JSON object with 'file_name' and 'text'")
    caption, category = record.get("text"), record.get("category")
    for name, value in (("text", caption), ("category", category)):
        if value is not None:
            checked_text(value, name)
    category = (category or "").lower()
    return record["file_name"], (caption or "").strip(), category if category in LABELS else category_of(category)
