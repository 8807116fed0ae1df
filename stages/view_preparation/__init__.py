"""One to ten posed pictures made ready: square cut-outs of one size, about an object in the unit ball at the origin.

nerfstudio's or instant-ngp's transforms.json, the Blender layout, COLMAP, or a sequence in CO3Dv2's layout. Cameras are
turned to what they all look at, which is exact, and moved and scaled so that this stands at the origin; by how much is
said in `transforms.json`. The capture's other pictures are put aside in `held_out/`, for evaluation alone.
"""

from typing import Literal

from pydantic import Field

from stages.artifacts import CAPTURE_FOLDER, POSED_IMAGES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    n_inputs: int = Field(0, ge=0, le=10, description="pictures to use, spread round the object; 0: all")
    frames: tuple[int, ...] = Field((), description="use these pictures, by number from 0 in the order of their names")
    n_held_out: int = Field(32, ge=0, le=1000, description="of the other pictures, so many are kept to measure on")
    transforms: str = Field("", description="another file of the folder than transforms.json or transforms_train.json")
    sequence: str = Field("", description="of a CO3Dv2 category: the sequence")
    size: int = Field(
        0, ge=0, le=1024, description="side of the cut-outs; 0: as fine as the pictures are, 64 to 128",
        json_schema_extra={"unit": "pixels"},
    )  # fmt: skip
    masks: Literal["auto", "none"] = Field(
        "auto", description="auto: mask_path, alpha channel, or all that differs from a border of one colour"
    )
    scale_by: Literal["auto", "cameras", "masks"] = Field(
        "auto", description="what the ball is fitted to; auto: the cameras, or the masks if the object does not fit"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"size": 256}}
INPUTS = {"images": CAPTURE_FOLDER}
OUTPUT = POSED_IMAGES
