"""Networks and their maths in plain torch, one folder per published system. Weights do not belong here: see the
README's model table.
"""
