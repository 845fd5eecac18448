"""Recipe of the wardrobe network."""
