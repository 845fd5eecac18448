"""Croquis: drawn fashion figures, seeded and exact, with everything that training and tests need to know about them."""
from .body import Body
from .figure import Background, FigureSpec, random_figure
from .garment import GarmentSpec, random_garment
from .pose import Pose
from .render import Figure, render

__all__ = ["Background", "Body", "Figure", "FigureSpec", "GarmentSpec", "Pose", "random_figure", "random_garment", "render"]
