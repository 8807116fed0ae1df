"""A library whose import fails in its own way."""

raise RuntimeError("half installed")
