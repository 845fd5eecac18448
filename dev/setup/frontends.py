"""The newest page that the editor is tested on, beside the one that the host pins: unpacked, not installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

NEWEST = "1.58.1"


def newest(root: Path) -> Path:
    """The folder for the host's --front-end-root; fetched by `fetch_newest`."""
    return root / ".host" / "frontends" / NEWEST / "comfyui_frontend_package" / "static"


def fetch_newest(root: Path) -> Path:
    """Download and unpack it unless it is there. Raises RuntimeError when the package index cannot be reached."""
    folder = newest(root)
    if (folder / "index.html").exists():
        return folder
    store = root / ".host" / "frontends"
    store.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(store),
        f"comfyui-frontend-package=={NEWEST}",
    ]
    if subprocess.run(command, capture_output=True).returncode:
        raise RuntimeError(f"The page comfyui-frontend-package {NEWEST} could not be downloaded; check the network.")
    wheel = next(store.glob(f"comfyui_frontend_package-{NEWEST}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(store / NEWEST)
    wheel.unlink()
    return folder
