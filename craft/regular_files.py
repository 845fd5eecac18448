"""Opening files that somebody else may have put there: regular ones only, and none outside the folder that is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotRegular(ValueError):
    """No file that can be read to an end; the message is the reason, without the path."""


class LeadsOut(ValueError):
    """A path that leads out of its folder, by its words or by a link; the message is the reason."""


def open_regular(path: str | Path) -> BinaryIO:
    """The file, open for reading bytes. Raises NotRegular for pipes, devices, folders, sockets; OSError otherwise.

    A pipe is not waited for: it is opened without waiting, and looked at before anything is read.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise NotRegular("not a regular file")
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def odd_entry(folder: Path) -> Path | None:
    """The folder itself where it is a link or no folder, else something in it that is no regular file of its own, else
    None. Raises OSError.
    """
    if folder.is_symlink() or not folder.is_dir():
        return folder
    with os.scandir(folder) as entries:
        return next((Path(one.path) for one in entries if not one.is_file(follow_symlinks=False)), None)


def inside(root: str | Path, path: str) -> str:
    """The real path of `path` (relative, with slashes) below the folder `root`. Raises LeadsOut for any other.

    The folder itself may be a link. A link below it may lead to a place inside.
    """
    base = os.path.realpath(root)
    if not is_relative(path):
        raise LeadsOut("a path that leads out of the folder")
    real = os.path.realpath(os.path.join(base, *path.split("/")))
    if not real.startswith(base.rstrip(os.sep) + os.sep):
        raise LeadsOut("a link that leads out of the folder")
    return real


def is_relative(path: object) -> bool:
    """Whether this is a relative path with slashes that names a file below, by its words alone."""
    if not isinstance(path, str) or "\0" in path or os.path.isabs(path) or os.path.splitdrive(path)[0]:
        return False
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and (os.sep == "/" or os.sep not in path)
