"""The `.venv` that both commands run in: made once, repaired when an installation was cut short.

Standard library only: this runs on a bare Python.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

OLDEST = (3, 11)


class SetupFailed(RuntimeError):
    """Set-up could not be finished; the message says why and what to do."""


def venv_python(root: Path) -> Path:
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inside(root: Path) -> bool:
    return Path(sys.prefix).resolve() == (root / ".venv").resolve()


def requirement_files(root: Path) -> list[Path]:
    folder = root / "dev" / "setup" / "requirements"
    return [folder / "host.txt", folder / "pack.txt", folder / "test.txt", folder / "check.txt"]


def ensure(root: Path) -> Path:
    """Make or repair .venv with everything pinned in dev/setup/requirements; returns its Python. Does nothing if
    complete.
    """
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        raise SetupFailed(f"This is Python {found}; the two commands need Python 3.11 or newer.")
    home, python = root / ".venv", venv_python(root)
    stamp, unfinished = home / "atelier-installed", home / "atelier-installing"
    data = root / "dev" / "setup" / "requirements" / "data.txt"
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in [*requirement_files(root), data])).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and _answers(python):
        return python
    if not _answers(python):
        _say("making .venv")
        shutil.rmtree(home, ignore_errors=True)
        try:
            venv.create(home, with_pip=True)
        except Exception as error:
            raise SetupFailed(
                f"Python could not make a virtual environment ({error}). On Debian and Ubuntu: apt install"
                f" python3-venv."
            ) from error
    if unfinished.exists():
        _drop_broken_packages(home)
    stamp.unlink(missing_ok=True)
    unfinished.write_text(wanted)
    arguments = [part for file in requirement_files(root) for part in ("-r", str(file))]
    _pip(python, arguments)
    if any(line.strip() and not line.startswith("#") for line in data.read_text().splitlines()):
        _pip(python, ["--no-deps", "-r", str(data)])
    unfinished.unlink()
    stamp.write_text(wanted)
    _say("")
    return python


def _answers(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([str(python), "-c", "import pip"], capture_output=True).returncode == 0


def _pip(python: Path, arguments: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check", *arguments]
    started, tail = time.monotonic(), []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        line = line.strip()
        tail = [*tail[-7:], line]
        if line.startswith(("Collecting", "Downloading", "Installing")):
            _say(f"installing, {time.monotonic() - started:.0f} s: {line[:70]}")
    if process.wait():
        _say("")
        offline = any("connection" in line.lower() or "resolve" in line.lower() for line in tail)
        hint = " The package index cannot be reached: check the network." if offline else ""
        raise SetupFailed("pip could not install the pinned packages." + hint + "\n  " + "\n  ".join(tail))


def _drop_broken_packages(home: Path) -> None:
    """Forget packages whose installation was cut short, so that pip installs them again."""
    for info in home.glob("**/site-packages/*.dist-info"):
        record = info / "RECORD"
        complete = record.exists()
        if complete:
            for row in record.read_text(encoding="utf-8").splitlines():
                path, _, size = row.rsplit(",", 2)
                path = path.strip('"')
                file = info.parent / path
                if not file.exists() or (size and file.stat().st_size != int(size)):
                    complete = complete and path.endswith(".pyc")
        if not complete:
            shutil.rmtree(info)
            _say(f"repairing {info.name}")


def _say(text: str) -> None:
    if sys.stdout.isatty():
        print("\r\033[K" + text, end="", flush=True)
    elif text:
        print(text, flush=True)
