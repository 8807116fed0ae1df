"""Gaussian splats: the container, the rasterisers, and files."""
