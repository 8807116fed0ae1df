"""Radiance fields: grids, heads and the field that joins them."""

from prior3d.fields.grids import DenseGrids, TiledGrid
from prior3d.fields.object_field import FieldConfig, ObjectField, trunc_exp
from prior3d.fields.protocol import RadianceField

__all__ = ["DenseGrids", "FieldConfig", "ObjectField", "RadianceField", "TiledGrid", "trunc_exp"]
