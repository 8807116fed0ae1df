"""Plan, restore, run, commit."""
