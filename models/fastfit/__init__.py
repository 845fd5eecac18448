"""FastFit (arXiv 2508.20586): multi-garment try-on with one UNet, its names, noise schedule and training network."""
