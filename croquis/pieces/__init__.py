"""How garments are drawn: `cut` picks the pieces of a garment, the other files shape them."""
