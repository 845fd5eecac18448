"""The studio wardrobe network: words, pictures, the four passes, attributes."""
