"""Pictures: files, masks at their edges, crops, colours, lines, sheets."""
