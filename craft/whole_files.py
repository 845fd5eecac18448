"""Writing files that are there whole or not at all.

A file is written under another name in its own folder and takes its own name when it is finished. Whatever goes wrong
before that leaves what was there, removes the draft, and is one sentence with the folder.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

DRAFT = ".part"  # how a draft's name ends; nothing in the pack reads such files


class NotWritten(ValueError):
    """A file could not be written; the message names the file, its folder, the reason and what to do."""


@contextmanager
def whole_file(target: str | Path) -> Iterator[Path]:
    """The path to write to instead of `target`, beside it; it becomes `target` when the block ends without an error.

    Raises NotWritten for what the operating system refuses (a full disk, a limit on file size, no permission), also
    where a library hides it behind an error of its own. Other errors go through; no draft stays in either case.
    """
    target = Path(target)
    draft = target.with_name(f"{target.name}.{uuid.uuid4().hex}{DRAFT}")
    try:
        yield draft
        os.replace(draft, target)
    except OSError as error:
        raise NotWritten(sentence(target, error)) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] == "safetensors" or isinstance(error.__cause__, OSError):
            raise NotWritten(sentence(target, error.__cause__ or error)) from error
        raise
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_bytes(target: str | Path, data: bytes) -> None:
    """The bytes as a whole file. Raises NotWritten."""
    with whole_file(target) as draft:
        draft.write_bytes(data)


def write_text(target: str | Path, text: str) -> None:
    """The text as a whole UTF-8 file. Raises NotWritten."""
    write_bytes(target, text.encode("utf-8"))


def save_picture(target: str | Path, picture: Image.Image, **options: Any) -> None:
    """The picture as a whole file of the type that its name says; `options` go to Pillow. Raises NotWritten."""
    with whole_file(target) as draft:
        picture.save(draft, Image.registered_extensions()[Path(target).suffix.lower()], **options)


def make_folder(folder: str | Path) -> None:
    """The folder with those above it, if it is not there. Raises NotWritten."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise NotWritten(sentence(Path(folder), error)) from error


def sentence(target: Path, error: BaseException) -> str:
    """What could not be written, where, why, and what to do."""
    number = getattr(error, "errno", None)
    if number is None and "No space left" in str(error):
        number = errno.ENOSPC
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        reason, advice = "the disk is full", "make room on it"
    elif number == errno.EFBIG:
        reason, advice = "the file would be larger than this system allows", "raise the limit on the size of files"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason, advice = "writing is not allowed there", "give the folder write permission"
    else:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        advice = "look at that folder and its disk"
    return f"{target.name} cannot be written into {target.parent} ({reason}): {advice}, and try again."
