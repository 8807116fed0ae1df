"""The field's surface as a clean mesh whose silhouettes match the field's own renders.

1. Density on a grid, and the threshold whose silhouettes match the rendered opacity best.
2. The threshold is varied in space until the silhouettes match better. With an image of the object they must match its
   outline too.
3. Floaters and cavities are removed. Parts that only the image shows are raised.
4. Marching cubes, smoothing, decimation.

The threshold, its depth error and the silhouettes' overlap are metrics.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from prior3d.settings import Nodes, Steps
from stages.artifacts import FIELD, MESH, OBJECT_IMAGE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    resolution: Nodes = Field(96, ge=16, le=512, description="nodes of the density grid along an axis")
    threshold: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="density at the surface; none: chosen so that silhouettes match the renders",
        json_schema_extra={"unit": "1 / world unit"},
    )
    n_azimuths: int = Field(
        8, ge=3, le=64, description="azimuths of the cameras whose renders are compared, at two elevations each"
    )
    outline_steps: Steps = Field(
        80,
        ge=0,
        le=10_000,
        description="steps that vary the threshold in space to fit silhouettes; 0: one threshold everywhere",
    )
    image_weight: float = Field(
        4.0, ge=0, le=1000, description="with an image: weight of a ray of its outline, relative to a ray of a render"
    )
    missing_parts: bool = Field(
        True, description="with an image: raise parts that it shows and the surface lacks, at their outline's depth"
    )
    smoothing: float = Field(
        1.2,
        ge=0,
        le=5,
        description="standard deviation of the Gaussian that smooths the density grid",
        json_schema_extra={"unit": "cells"},
    )
    min_part_fraction: float = Field(
        0.03, ge=0, le=1, description="parts smaller than this fraction of the largest part are removed as floaters"
    )
    min_part_extent: float = Field(
        0.25,
        ge=0,
        le=1,
        description="but not parts whose box is longer than this fraction of the largest part's: a thin handle stays",
    )
    smoothing_steps: Steps = Field(8, ge=0, le=200, description="Taubin smoothing of the vertices")
    max_faces: int = Field(10_000, ge=100, le=2_000_000, description="a mesh with more faces is decimated to this many")

    renamed: ClassVar[dict[str, str]] = {"picture_weight": "image_weight", "min_part": "min_part_fraction"}


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 256, "max_faces": 60_000}}
INPUTS = {"field": FIELD, "image": OBJECT_IMAGE}
OPTIONAL_INPUTS = frozenset({"image"})
OUTPUT = MESH
