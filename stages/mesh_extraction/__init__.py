"""The field's surface as a clean mesh whose outlines are those of the field's own pictures.

Density on a grid -> the threshold whose silhouettes match the rendered opacity -> that threshold varied in space until
they match better, and match the outline of the object's picture where there is one -> floaters and cavities out ->
parts that the picture shows and nothing else does back in -> marching cubes -> smoothing -> decimation. The threshold,
its overlap and the mesh's are reported as metrics.
"""

from pydantic import Field

from stages.artifacts import FIELD, MESH, OBJECT_IMAGE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    resolution: int = Field(
        96, ge=16, le=512, description="nodes of the density grid along an axis", json_schema_extra={"unit": "nodes"}
    )
    threshold: float | None = Field(
        None,
        gt=0,
        description="density that is the surface; none: chosen so that outlines match the renders",
        json_schema_extra={"unit": "1 / world unit"},
    )
    outline_steps: int = Field(
        80,
        ge=0,
        le=10_000,
        description="steps in which the threshold is varied in space to fit outlines; 0 leaves one everywhere",
        json_schema_extra={"unit": "steps"},
    )
    picture_weight: float = Field(
        4.0, ge=0, le=1000, description="with a picture: weight of a ray of its outline beside those all round"
    )
    missing_parts: bool = Field(
        True, description="with a picture: raise parts that it shows and the surface has not, at their outline's depth"
    )
    smoothing: float = Field(
        1.2, ge=0, le=5, description="Gaussian over the density grid", json_schema_extra={"unit": "cells"}
    )
    min_part: float = Field(
        0.03, ge=0, le=1, description="parts smaller than this share of the largest are removed as floaters"
    )
    smoothing_steps: int = Field(
        8, ge=0, le=200, description="Taubin smoothing of the vertices", json_schema_extra={"unit": "steps"}
    )
    max_faces: int = Field(10_000, ge=100, le=2_000_000, description="the mesh is decimated to this many faces")
    n_azimuths: int = Field(
        8, ge=3, le=64, description="cameras round the object, at two heights each, to compare with"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 256, "max_faces": 60_000}}
INPUTS = {"field": FIELD, "image": OBJECT_IMAGE}
OPTIONAL_INPUTS = frozenset({"image"})
OUTPUT = MESH
