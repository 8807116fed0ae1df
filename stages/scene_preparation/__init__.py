"""A capture made ready: its cameras put into the world, its pictures resized and undistorted, one after the other.

nerfstudio's and instant-ngp's transforms.json, the Blender layout, or COLMAP. The cameras' common look-at point comes
to the origin, and what all of them see whole fills the unit ball; the capture's units are said in transforms.json.
"""

from typing import Literal

from pydantic import Field

from stages.artifacts import CAPTURE_FOLDER, POSED_IMAGES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    transforms: str = Field("", description="another file of the folder than transforms.json or transforms_train.json")
    longest_side: int = Field(
        512, ge=0, le=8192, description="pictures are made as small as this; 0: as they are",
        json_schema_extra={"unit": "pixels"},
    )  # fmt: skip
    max_images: int = Field(
        300, ge=0, le=100_000, description="of more, so many are taken, evenly along the path; 0: all"
    )
    min_images: int = Field(3, ge=1, le=100, description="fewer are an error")
    orientation: Literal["auto", "keep", "cameras"] = Field(
        "auto", description="keep the capture's z axis, or turn the cameras' mean up to z; auto: for COLMAP only"
    )
    masks: Literal["auto", "object", "ignore", "none"] = Field(
        "auto",
        description="what lies outside of masks: nothing (object) or what must not count (ignore); "
        "auto: nothing where pictures have an alpha channel, and not counted where mask_path is given",
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {}}
INPUTS = {"scene": CAPTURE_FOLDER}
OUTPUT = POSED_IMAGES
