"""Versions of runs: find, compare, restore, export and remove them, or draw them on a page."""
