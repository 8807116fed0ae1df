"""The input image's own pixels on the texels of a mesh that its camera sees.

Tang et al. 2023 (Make-It-3D), section 3.3, for a mesh instead of a point cloud. A texel takes the colour at its place
in the image if nothing is in front of it (a z-buffer). Its confidence falls as the surface turns away. Pixels at the
edge of the alpha, which hold some background, and pixels where one part ends in front of another lend no colour. The
other texels keep the colour of the mesh's own texture, or of the nearest visible texel, with a confidence of 0.
If left and right are alike (`mirror_confidence`), the other side takes the mirrored image's pixels, where the mesh's
outline from the mirrored camera matches the mirrored image.

The mesh must stand in the world as the image's camera sees it. `mask_iou` tells how well their outlines agree.
"""

from typing import ClassVar

from pydantic import Field

from prior3d.settings import Pixels, Texels
from stages.artifacts import OBJECT_IMAGE, PAINTABLE_MESH, PARTIAL_TEXTURE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    resolution: Texels = Field(256, ge=16, le=4096, description="side of the texture")
    erosion: Pixels = Field(
        1, ge=0, le=64, description="width of the band inside the image's outline that lends no colour"
    )
    view_angle_exponent: float = Field(
        1.0, ge=0, le=10, description="power of the cosine to the surface's normal that weighs a pixel"
    )
    mirror_confidence: float = Field(
        0.0, ge=0, le=1, description="confidence of the mirrored image's pixels beside the image's own; 0: none"
    )

    renamed: ClassVar[dict[str, str]] = {"squareness": "view_angle_exponent"}


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 1024, "erosion": 4}}
INPUTS = {"mesh": PAINTABLE_MESH, "image": OBJECT_IMAGE}
OUTPUT = PARTIAL_TEXTURE
