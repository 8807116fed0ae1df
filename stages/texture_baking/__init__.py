"""The field's colours on the mesh: an atlas, baked as a camera would see the field, in a GLB and an OBJ.

A field's colours are grainy: that is smoothed away, edges are kept. With a picture of the object, the texels that its
camera sees are then fitted to its pixels, which are sharper than the field's colours along a normal.
"""

from pydantic import Field

from stages.artifacts import FIELD, MESH, OBJECT_IMAGE, TEXTURED_MESH
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    resolution: int = Field(
        512, ge=32, le=8192, description="side of the texture", json_schema_extra={"unit": "texels"}
    )
    shell: float = Field(
        0.06,
        gt=0,
        le=0.5,
        description="a texel shows what a short ray sees from this far outside the surface to twice as far inside",
        json_schema_extra={"unit": "world units"},
    )
    smoothing: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="how far colours are smoothed over the surface; 0 leaves their grain",
        json_schema_extra={"unit": "world units"},
    )
    edge: float = Field(
        0.1,
        gt=0,
        le=2,
        description="smoothing: colours much farther apart are not mixed",
        json_schema_extra={"unit": "of colour range"},
    )
    picture_steps: int = Field(
        20,
        ge=0,
        le=1000,
        description="with a picture: steps that fit the texture to its pixels; 0 leaves the field's colours",
        json_schema_extra={"unit": "steps"},
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 1024}}
INPUTS = {"mesh": MESH, "field": FIELD, "image": OBJECT_IMAGE}
OPTIONAL_INPUTS = frozenset({"image"})
OUTPUT = TEXTURED_MESH
