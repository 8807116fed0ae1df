"""A capture made ready: its cameras are moved into the world's frame, its images resized and undistorted one by one.

It reads transforms.json of nerfstudio and instant-ngp, the Blender layout, and COLMAP. The cameras' common look-at
point becomes the origin, and the ball that every camera sees whole becomes the unit ball. The output's transforms.json
records this shift and scale.
"""

from typing import Literal

from pydantic import Field

from prior3d.settings import Fraction, Pixels
from stages.artifacts import CAPTURE_FOLDER, POSED_IMAGES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    transforms: str = Field(
        "", description="name of the cameras' file; empty: transforms.json, else transforms_train.json"
    )
    longest_side: Pixels = Field(
        512, ge=0, le=8192, description="larger images are shrunk to this longest side; 0: images keep their size"
    )
    max_images: int = Field(
        300, ge=0, le=100_000, description="most images that are used, chosen evenly along the path; 0: all"
    )
    min_images: int = Field(3, ge=1, le=100, description="a capture with fewer images is an error")
    orientation: Literal["auto", "keep", "cameras"] = Field(
        "auto",
        description="what is up: the capture's z axis (keep) or the cameras' mean up (cameras); auto: cameras for "
        "COLMAP, keep for all others",
    )
    margin: float = Field(
        1.0,
        ge=0.5,
        le=4,
        description="how many times larger than the ball that the cameras see whole is what becomes the unit ball; "
        "larger where the mesh of a place is cut at the unit box",
        json_schema_extra={"unit": "of the ball"},
    )
    masks: Literal["auto", "object", "ignore", "none"] = Field(
        "auto",
        description="what lies outside the masks: empty space (object), or pixels that do not count (ignore); none: "
        "use no masks; auto: object for alpha channels, ignore for mask_path",
    )
    min_mask: Fraction = Field(0.99, description="ignore: pixels count where the resized mask is above this value")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {}}
INPUTS = {"scene": CAPTURE_FOLDER}
OUTPUT = POSED_IMAGES
