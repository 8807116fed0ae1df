"""Radiance fields: grids, heads and the field that joins them."""

from prior3d.fields.field import Field, FieldConfig, trunc_exp
from prior3d.fields.grids import DenseGrids, TiledGrid

__all__ = ["DenseGrids", "Field", "FieldConfig", "TiledGrid", "trunc_exp"]
