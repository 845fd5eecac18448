"""Widgets that several nodes have: one range each. A node gives the tooltip, and its default where it differs."""

from __future__ import annotations

LARGEST_SEED = 0xFFFFFFFFFFFFFFFF


def seed(tooltip: str, default: int = 0) -> tuple[str, dict]:
    return "INT", {
        "default": default, "min": 0, "max": LARGEST_SEED, "control_after_generate": True, "tooltip": tooltip,
    }  # fmt: skip


def steps(tooltip: str, default: int = 20, least: int = 1) -> tuple[str, dict]:
    """least: 0 where 0 means what the model's card says."""
    return "INT", {"default": default, "min": least, "max": 1000, "tooltip": tooltip}


def cfg(tooltip: str, default: float = 6.0, step: float = 0.1) -> tuple[str, dict]:
    return "FLOAT", {"default": default, "min": 0.0, "max": 100.0, "step": step, "tooltip": tooltip}


def grow(tooltip: str, default: int = 0) -> tuple[str, dict]:
    """Pixels; a negative number narrows the mask."""
    return "INT", {"default": default, "min": -256, "max": 512, "tooltip": tooltip}


def feather(tooltip: str, default: int = 8) -> tuple[str, dict]:
    """Pixels inside the mask."""
    return "INT", {"default": default, "min": 0, "max": 512, "tooltip": tooltip}


def seam_colour(tooltip: str, default: float = 0.0) -> tuple[str, dict]:
    return "FLOAT", {"default": default, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": tooltip}
