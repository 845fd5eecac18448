"""The auto-masker's part of `python dev.py parity fastfit DIR`: masks from the recorded label maps, pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

# Shares of the pixels: nothing with OpenCV, as the original; along outlines without it.
WITH_OPENCV, SMALL, LARGE = 0.0, 3e-3, 2e-3


def automasker(report, recordings: Path, item: dict) -> None:
    """Compare every recorded mask, with OpenCV where it is installed and without it always."""
    from PIL import Image

    from ...craft.body.published_masker import has_opencv

    details = json.loads((recordings / item["details"]).read_text(encoding="utf-8"))
    tensors = load_file(recordings / item["file"])
    ways = (True, False) if has_opencv() else (False,)
    for case in details["cases"]:
        maps = [tensors[f"{case['maps']}.{name}"] for name in ("densepose", "lip", "atr")]
        _compare(report, "masker, small", maps, case, tensors[case["tensor"]], ways, SMALL)
    big = details.get("big")
    if big:
        maps = [np.asarray(Image.open(recordings / name)) for name in big["maps"]]
        for case in big["cases"]:
            recorded = np.asarray(Image.open(recordings / case["file"]).convert("L"))
            _compare(report, "masker, large", maps, case, recorded, ways, LARGE)


def _compare(report, name: str, maps: list, case: dict, recorded: np.ndarray, ways: tuple, tolerance: float) -> None:
    from ...craft.body.published_masker import published_mask

    expand = case["expand_fractions_left_right"]
    for opencv in ways:
        mask = published_mask(*maps, case["mode"], case["square_cloth_mask"], tuple(expand) if expand else None, opencv)
        share = float((mask != (recorded > 0)).mean())
        label = "with OpenCV" if opencv else "without OpenCV"
        report.compare(f"{name} {label} (share of pixels)", share, 0.0, WITH_OPENCV if opencv else tolerance)
