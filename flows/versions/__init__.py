"""Versions of runs: told apart, compared, brought back, carried away, thrown out, shown on a page."""
