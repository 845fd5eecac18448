"""Wardrobe: the store, indexing, searching, queries, attributes."""
