"""Let torchvision import beside a CPU build of torch.

PyPI's torchvision wheel links CUDA libraries; beside a CPU torch its operators are missing and the import dies. The
host imports torchvision unconditionally but uses none of these operators, so declaring their schemas is enough.
Used by the launcher and the tests only, never by the pack's nodes.
"""

import sys

_KEEP = []


def make_importable() -> None:
    try:
        import torchvision

        return
    except Exception:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEEP.append(library)
    import torchvision  # noqa: F401
