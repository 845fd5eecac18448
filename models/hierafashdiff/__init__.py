"""HieraFashDiff (arXiv 2401.07450): its published rules and the layout of its checkpoint."""
