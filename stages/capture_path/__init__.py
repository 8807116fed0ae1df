"""A video and a contact sheet of a fitted scene along its capture's path; for an edit, before and after it.

Where the order of the images is no path, as of random views, it goes round what the cameras look at.
"""

from typing import ClassVar

from pydantic import Field

from prior3d.settings import Frames, GreyLevel, Pixels
from stages.artifacts import FIELD, PATH_RENDERS, POSED_IMAGES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    frames: Frames = Field(48, ge=2, le=2000, description="frames of the video")
    longest_side: Pixels = Field(
        256, ge=16, le=2048, description="longest side of the video; never more than the capture's images have"
    )
    n_bins: int = Field(64, ge=8, le=1024, description="coarse intervals along a ray")
    background: GreyLevel = Field(1.0, description="grey level behind an object")
    sheet_frames: Frames = Field(6, ge=1, le=100, description="frames of the video on the contact sheet")
    frames_per_second: int = Field(12, ge=1, le=60, description="speed of the video")

    renamed: ClassVar[dict[str, str]] = {"segments": "n_bins"}


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"frames": 240, "longest_side": 512, "n_bins": 160}}
INPUTS = {"field": FIELD, "images": POSED_IMAGES, "before": FIELD}
OPTIONAL_INPUTS = frozenset({"before"})
OUTPUT = PATH_RENDERS
