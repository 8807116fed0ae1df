"""Mesh extraction, texture atlases, baking and files."""
