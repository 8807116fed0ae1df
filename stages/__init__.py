"""What a step does: a package a stage, run as `python -m stages NAME` in a run's folder."""
