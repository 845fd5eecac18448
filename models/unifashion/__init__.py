"""UniFashion (Zhao et al., EMNLP 2024, arXiv 2408.11305): the Q-Former for retrieval and composed retrieval, its
losses, query tokens for a text encoder, and the U-Net with zero cross-attention. Facts about the code: four programs,
no joint one.
"""
