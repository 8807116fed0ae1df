"""One to ten posed images made ready: square cut-outs of one size, of an object in the unit ball at the origin.

Reads nerfstudio's or instant-ngp's transforms.json, the Blender layout, COLMAP, or a sequence in CO3Dv2's layout. Each
camera is turned to the point that all of them look at, which is exact. The world is moved and scaled so that this point
is the origin; `transforms.json` says by how much. The capture's other images go to `held_out/`, for evaluation alone.
"""

from typing import Literal

from pydantic import Field, PositiveFloat

from prior3d.settings import Pixels, WorldUnits
from stages.artifacts import CAPTURE_FOLDER, POSED_IMAGES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    n_inputs: int = Field(0, ge=0, le=10, description="images to use, spread around the object; 0: all")
    frames: tuple[int, ...] = Field((), description="use these images, by number from 0 in the order of their names")
    n_held_out: int = Field(32, ge=0, le=1000, description="how many of the other images are held out for measurement")
    transforms: str = Field(
        "", description="name of the cameras' file; empty: transforms.json, else transforms_train.json"
    )
    sequence: str = Field("", description="name of the sequence, in a category of CO3Dv2's layout")
    size: Pixels = Field(0, ge=0, le=1024, description="side of the cut-outs; 0: by the images' resolution, 64 or 128")
    masks: Literal["auto", "none"] = Field(
        "auto", description="auto: mask_path, alpha channel, or all that differs from a border of one colour"
    )
    scale_by: Literal["auto", "cameras", "masks"] = Field(
        "auto", description="what the ball is fitted to; auto: the cameras, or the masks if the object does not fit"
    )
    fitting_radii: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.5, 1.35),
        description="smallest and largest object that fits where the cameras put it: half the diagonal of the boxes "
        "about its masks",
        json_schema_extra={"unit": "world units"},
    )
    fitting_offset: WorldUnits = Field(
        0.3, ge=0, description="how far from the origin the middle of an object may be that fits"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"size": 256}}
INPUTS = {"images": CAPTURE_FOLDER}
OUTPUT = POSED_IMAGES
