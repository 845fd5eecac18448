"""Recipes of the networks that read bodies: drawn figures, photographs."""
