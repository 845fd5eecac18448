"""Croquis: drawn fashion figures, seeded and exact, with everything that training and tests need to know about them.

What a figure is (data) imports at once; `render` and `Figure` bring the drawing library when they are first asked
for.
"""

from importlib import import_module
from typing import Any

from .body import Body
from .figure import Background, FigureSpec, random_figure
from .garment import GarmentSpec, random_garment
from .pose import Pose

__all__ = [
    "Background", "Body", "Figure", "FigureSpec", "GarmentSpec", "Pose", "random_figure", "random_garment", "render",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("Figure", "render"):
        return getattr(import_module(".picture", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
