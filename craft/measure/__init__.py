"""Measures between pictures, of retrieval, of captions."""
