"""What is measured: one file a figure, each with its controls."""
