"""The wider world: more kinds than the toy world, materials, random light, and shapes without names.

The embedded weights were trained on the toy world alone; nothing here changes what that draws.
"""
