"""Images and numbers of a result on one page: the textured mesh from all around, beside its field if there is one."""

from pydantic import Field

from prior3d.settings import Degrees, Frames, GreyLevel, Pixels, Samples, WorldUnits
from stages.artifacts import (
    CAPTION,
    DRAWN_VIEWS,
    FIELD,
    OBJECT_IMAGE,
    POSED_IMAGES,
    PROMPT,
    RENDERS,
    SHAPE_GUIDE,
    TEXTURED_MESH,
)
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    n_azimuths: int = Field(8, ge=2, le=36, description="views of the contact sheet, evenly spread around the object")
    size: Pixels = Field(128, ge=16, le=1024, description="side of those views")
    n_samples: Samples = Field(64, ge=8, le=1024, description="samples along a ray")
    elevation_deg: Degrees = Field(15, ge=-80, le=80, description="elevation of the cameras")
    radius: WorldUnits = Field(3.2, gt=1, le=10, description="distance of the cameras from the origin")
    fov_deg: Degrees = Field(40, ge=5, le=120, description="vertical field of view")
    video_frames: Frames = Field(36, ge=2, le=480, description="frames of the turntable video")
    video_size: Pixels = Field(256, ge=16, le=2048, multiple_of=2, description="side of the video")
    background: GreyLevel = Field(
        0.75, description="grey level behind the images; objects are more often white or black than grey"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"size": 256, "n_samples": 192, "video_frames": 100, "video_size": 512}}
INPUTS = {
    "mesh": TEXTURED_MESH,
    "field": FIELD,
    "prompt": PROMPT,
    "shape": SHAPE_GUIDE,
    "image": OBJECT_IMAGE,
    "views": POSED_IMAGES,
    "caption": CAPTION,
    "drawn": DRAWN_VIEWS,
}
OPTIONAL_INPUTS = frozenset({"field", "prompt", "shape", "image", "views", "caption", "drawn"})
OUTPUT = RENDERS
