"""What a step does: one module a stage, run as `python -m stages.NAME`."""
