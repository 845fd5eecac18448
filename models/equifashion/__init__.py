"""EquiFashion: ideation by a latent generator, semantic-bundled attention, structural semantic consensus, its losses.

Facts: the public repository's code and the model card. What the code claims but does not hold is rebuilt here and
marked "reconstructed".
"""
