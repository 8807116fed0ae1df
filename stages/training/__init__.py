"""How the embedded priors are made: a package a stage, run as `python -m stages training.NAME` in the project's root.

A training writes into a folder of the project (`FOLDER` of its declaration) in place of a run's output folder. What
several trainings share: `trainer`, `diffusion_loss`, `weights`, `conditional`, and the rooms `datasets` and `scores`.
"""
