"""The host's modules inside this process, on the CPU when there is no GPU: for tests, parity and bench."""

import sys
from pathlib import Path

from .torchvision_ops import make_importable


def enter(host: Path, base: Path) -> None:
    """Put the host on the import path and fix its settings before its first import.

    `host`: folder with main.py and comfy/. `base`: folder that takes the place of models/, input/, output/, temp/,
    user/.
    """
    if "comfy.cli_args" in sys.modules:
        return
    # Position 0: with the current folder first, `import nodes` would find the pack's folder instead of the host's
    # module.
    sys.path.insert(0, str(host))
    make_importable()
    import comfy.cli_args as cli
    import torch

    cli.args.cpu = not torch.cuda.is_available()
    cli.args.base_directory = str(base)
    cli.args.database_url = "sqlite:///:memory:"
    cli.args.use_pytorch_cross_attention = True
    for folder in ("models", "custom_nodes", "input", "output", "temp", "user"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    # `utils` before `nodes`, which puts HOST/comfy (with its own `utils`) first on the path.
    import utils.extra_config  # noqa: F401, I001
    import folder_paths

    folder_paths.set_output_directory(str(base / "output"))
    folder_paths.set_input_directory(str(base / "input"))
    folder_paths.set_temp_directory(str(base / "temp"))
    import nodes as host_nodes  # noqa: F401
