"""Choices of the caption, sketch and compose nodes, without anything heavy behind them."""

STYLES = ("short", "professional", "detailed")
SKETCH_METHODS = ("auto", "HED", "DoG lines")
PLACINGS = ("into the mask", "as drawn")
LINES = ("dark on light", "light on dark")
