"""Diffusion-prior 3D: fields, rendering, priors, distillation, meshes and the toy world, as plain functions over tensors."""
