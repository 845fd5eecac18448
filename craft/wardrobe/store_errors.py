"""What SQLite and the disk refuse while a wardrobe's index is read or written, in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StoreFailed(ValueError):
    """The store could not be read or written; the message names its folder, the reason and what to do."""


@contextmanager
def in_words(folder: Path) -> Iterator[None]:
    """Errors of SQLite, and of the disk below it, as StoreFailed."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, UnicodeError, OverflowError, OSError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise StoreFailed(
            f"The wardrobe's index in {folder} cannot be read or written ({reason}): {_advice(error)}."
        ) from error


def _advice(error: Exception) -> str:
    if "locked" in str(error):
        return "another run writes it; wait for its end and try again"
    refused = ("full", "disk I/O", "readonly", "unable to open")
    if isinstance(error, OSError) or any(words in str(error) for words in refused):
        return "make room on that disk and give the folder write permission; what is indexed already is kept"
    return "delete that folder and index again"
