"""A photograph's own pixels on the texels of a mesh that it sees.

Tang et al. 2023 (Make-It-3D), section 3.3, for a mesh instead of a point cloud: a texel takes the colour at its place
in the photograph if nothing is in front of it (a z-buffer), the less surely the more it turns away; pixels at the edge
of the alpha, which hold some background, and those where one part ends in front of another lend no colour. The other
texels keep the colour of the mesh's own texture, or of the nearest texel that is seen, with a confidence of 0.
Of things whose left and right are alike (`mirror_confidence`) the other side takes the mirrored photograph's pixels, if
the mesh's outline from the mirrored camera is that of the mirrored photograph.

The mesh must stand in the world as the photograph's camera sees it. `mask_iou` tells how far their outlines agree.
"""

from pydantic import Field

from stages.artifacts import OBJECT_IMAGE, PAINTABLE_MESH, PARTIAL_TEXTURE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    resolution: int = Field(
        256, ge=16, le=4096, description="side of the texture", json_schema_extra={"unit": "texels"}
    )
    erosion: int = Field(
        1,
        ge=0,
        le=64,
        description="how far inside its outline the photograph begins to count",
        json_schema_extra={"unit": "pixels"},
    )
    squareness: float = Field(
        1.0, ge=0, le=10, description="power of the cosine to the surface's normal that weighs a pixel"
    )
    mirror_confidence: float = Field(
        0.0, ge=0, le=1, description="of the mirrored photograph's pixels on the other side, beside its own; 0: none"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 1024, "erosion": 4}}
INPUTS = {"mesh": PAINTABLE_MESH, "image": OBJECT_IMAGE}
OUTPUT = PARTIAL_TEXTURE
