"""The small networks that ship with the pack: their definitions, their weights (weights/) and a card for each."""
