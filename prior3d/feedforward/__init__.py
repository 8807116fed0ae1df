"""A network that makes a radiance field from a sentence in one pass, and what it learns from.

It is trained without exact objects: by score distillation of a joint-view prior, on the renders of many captions
(ATT3D, Lorraine et al. 2023), or on views of objects that runs have finished.
"""
