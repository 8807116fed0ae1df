"""Diffusion-prior 3D: fields, rendering, priors, distillation, meshes and the toy world, over tensors."""
