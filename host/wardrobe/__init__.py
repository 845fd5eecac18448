"""Wardrobe: encoders, captioners, indexing and searching, measures of a search."""
