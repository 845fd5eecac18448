"""The small networks that ship with the pack: their definitions, their weights (weights/) and a card for each."""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"
