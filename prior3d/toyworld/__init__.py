"""Procedural objects with exact meshes, captions and cameras: what the embedded prior is trained on."""
