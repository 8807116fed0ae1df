"""Rays and differentiable volume rendering."""
