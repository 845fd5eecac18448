"""The joints that Detect Body's photo backend finds, for training and benches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def open_joints() -> Callable[[np.ndarray], np.ndarray]:
    """From a photograph uint8 [H,W,3] to joints [18,3] of its largest person, all 0 where nobody is found.

    Raises ValueError with what is missing and how to get it.
    """
    from ...host.body.body_backends import photo_joints

    return photo_joints()
