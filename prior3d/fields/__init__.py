"""Radiance fields: grids, heads and the field that joins them."""
