"""The files that ship: small enough together, half precision, a card for each."""

from pathlib import Path

import torch
from safetensors import safe_open

STUDIO = Path(__file__).resolve().parents[2] / "models" / "studio"
PART_OF = {"text_encoder": "designer", "pose_controlnet": "designer"}


def test_all_weights_together_stay_within_48_mb():
    assert 0 < sum(path.stat().st_size for path in (STUDIO / "weights").iterdir()) <= 48e6


def test_weights_are_half_precision_and_have_a_card():
    paths = sorted((STUDIO / "weights").glob("*.safetensors"))
    assert len(paths) >= 8
    for path in paths:
        with safe_open(str(path), "pt") as file:
            kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118  no mapping
        assert kinds <= {torch.float16, torch.int64}, path.name
        assert (STUDIO / f"{PART_OF.get(path.stem, path.stem)}.md").is_file(), path.name
