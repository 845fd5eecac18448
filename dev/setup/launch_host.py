"""Start a ComfyUI host: `python launch_host.py HOST_FOLDER <the host's own flags>`."""

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    host = os.path.abspath(sys.argv[1])
    sys.argv = [os.path.join(host, "main.py"), *sys.argv[2:]]
    sys.path[0] = str(Path(__file__).resolve().parent)
    from torchvision_ops import make_importable

    sys.path[0] = host
    os.chdir(host)
    make_importable()
    runpy.run_path("main.py", run_name="__main__")


if __name__ == "__main__":
    main()
