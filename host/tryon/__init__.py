"""Try-on: models, garments read once, the person made ready, published sampling."""
