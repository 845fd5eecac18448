"""Captions: concept first, then attributes in the published order of levels."""
from __future__ import annotations


def caption(spec) -> dict:
    raise NotImplementedError
