"""Recipes for the studio networks: one file a network, one loop (Lightning), one command: `python dev.py train
NAME`.
"""
