"""Pictures and numbers of a result, all round, on one page: the textured mesh, beside the field it came from if any."""

from pydantic import Field

from stages.artifacts import FIELD, OBJECT_IMAGE, POSED_IMAGES, PROMPT, RENDERS, SHAPE_GUIDE, TEXTURED_MESH
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    n_azimuths: int = Field(8, ge=2, le=36, description="views of the contact sheet, evenly round the object")
    size: int = Field(128, ge=16, le=1024, description="side of those views", json_schema_extra={"unit": "pixels"})
    n_samples: int = Field(64, ge=8, le=1024, description="samples along a ray", json_schema_extra={"unit": "samples"})
    elevation_deg: float = Field(
        15, ge=-80, le=80, description="height of the cameras", json_schema_extra={"unit": "degrees"}
    )
    radius: float = Field(
        3.2, gt=1, le=10, description="distance of the cameras", json_schema_extra={"unit": "world units"}
    )
    fov_deg: float = Field(
        40, ge=5, le=120, description="vertical field of view", json_schema_extra={"unit": "degrees"}
    )
    video_frames: int = Field(
        36, ge=2, le=480, description="frames of the turntable", json_schema_extra={"unit": "frames"}
    )
    video_size: int = Field(
        256, ge=16, le=2048, multiple_of=2, description="side of the video", json_schema_extra={"unit": "pixels"}
    )
    background: float = Field(
        0.75, ge=0, le=1, description="grey level behind the pictures; objects are more often white or black than grey"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"size": 256, "n_samples": 192, "video_frames": 100, "video_size": 512}}
INPUTS = {
    "mesh": TEXTURED_MESH,
    "field": FIELD,
    "prompt": PROMPT,
    "shape": SHAPE_GUIDE,
    "image": OBJECT_IMAGE,
    "views": POSED_IMAGES,
}
OPTIONAL_INPUTS = frozenset({"field", "prompt", "shape", "image", "views"})
OUTPUT = RENDERS
