"""Recipe of the ideation generator."""
