"""Recipe of the try-on network."""
