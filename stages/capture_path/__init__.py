"""A fitted scene seen along its capture's path: a video and a sheet of pictures, before and after an edit if any."""

from pydantic import Field

from stages.artifacts import FIELD, PATH_RENDERS, POSED_IMAGES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    frames: int = Field(48, ge=2, le=2000, description="frames of the video", json_schema_extra={"unit": "frames"})
    longest_side: int = Field(
        256, ge=16, le=2048, description="of the video, at most the pictures' own", json_schema_extra={"unit": "pixels"}
    )
    segments: int = Field(64, ge=8, le=1024, description="coarse pieces of a ray")
    background: float = Field(1.0, ge=0, le=1, description="grey level behind an object")
    frames_per_second: int = Field(12, ge=1, le=60, description="of the video")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"frames": 240, "longest_side": 512, "segments": 160}}
INPUTS = {"field": FIELD, "images": POSED_IMAGES, "before": FIELD}
OPTIONAL_INPUTS = frozenset({"before"})
OUTPUT = PATH_RENDERS
