"""How any stage runs: its parameters, inputs, folders, checkpoints, progress and exit codes."""
