"""Recordings of the original systems, replayed through this pack."""
