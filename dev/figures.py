"""Figures that a bench or a parity tool measured, as a JSON file."""

from __future__ import annotations

import json

from ..craft.whole_files import write_text


def write_figures(json_path: str | None, figures: dict) -> None:
    """The figures as a whole JSON file; nothing where no path is given. Raises NotWritten."""
    if json_path:
        write_text(json_path, json.dumps(figures, indent=1))
