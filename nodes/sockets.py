"""Atelier's own socket types: frozen dataclasses that travel between nodes.

Whatever the host has a type for (IMAGE, MASK, LATENT, CONDITIONING, MODEL, VAE, SIGMAS, SAMPLER) is the host's own.
"""

from __future__ import annotations
