"""The designer's text encoder as a stage of its own: taught once, kept beside the run."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .design_meaning import teach
from .design_prompts import Words

SEED = 5_500_000  # captions that the text encoder is taught with


def taught_text(words: Words, steps: int, folder: Path) -> dict[str, Tensor]:
    """The text encoder's tensors, from `folder`/text.safetensors or taught now (about five minutes on one core)."""
    from safetensors.torch import load_file, save_file

    path = folder / "text.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        encoder = teach(words, steps, SEED, report=_report(steps))
        save_file(encoder.state_dict(), str(path))
    return load_file(str(path))


def _report(steps: int):
    def report(step: int, error: float) -> None:
        if step % 100 == 99 or step == steps - 1:
            print(f"text encoder {step + 1}/{steps}: {error:.4f}", flush=True)

    return report
