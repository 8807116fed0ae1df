"""A person's picture becomes a square picture of one object, cut out, with the camera that sees it so.

What the object is says, in this order: a mask file; the picture's own alpha; else its background is told by the
colours of its border, or by rembg where that is asked for. With a camera the picture stays as it is but for padding to
a square; without one the object is put into the middle and the camera is the parameters'. Nothing is ever squashed.
"""

from typing import Literal

from pydantic import Field

from stages.artifacts import CAMERA_TEXT, IMAGE_FILE, OBJECT_IMAGE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    size: int = Field(
        256,
        ge=16,
        le=2048,
        description="side of the prepared picture; smaller ones are not enlarged",
        json_schema_extra={"unit": "pixels"},
    )
    background_removal: Literal["classical", "rembg"] = Field(
        "classical",
        description="for a picture without alpha and mask: the border's colours, or rembg (a network; install "
        "prior3d[background], it fetches its weights itself)",
    )
    azimuth_deg: float = Field(
        0.0,
        ge=-360,
        le=360,
        description="without --camera: where the camera stands; 0 sees the front",
        json_schema_extra={"unit": "degrees"},
    )
    elevation_deg: float = Field(
        15.0, ge=-90, le=90, description="without --camera: how high", json_schema_extra={"unit": "degrees"}
    )
    fov_deg: float = Field(
        40.0, ge=1, le=120, description="without --camera: field of view", json_schema_extra={"unit": "degrees"}
    )
    fill: float = Field(
        0.75,
        gt=0.1,
        le=1,
        description="without --camera: how much of the square's side the object's longer side takes",
    )
    frame_width: float = Field(
        2.3294,
        gt=0.1,
        le=20,
        description="how much of the world the square shows at the object's distance; it sets the camera's distance",
        json_schema_extra={"unit": "world units"},
    )
    depth_kind: Literal["distance", "disparity"] = Field(
        "distance", description="whether brighter is farther or nearer in a depth picture"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"size": 512}}
INPUTS = {
    "image": IMAGE_FILE,
    "mask": IMAGE_FILE,
    "depth": IMAGE_FILE,
    "normal": IMAGE_FILE,
    "camera": CAMERA_TEXT,
}
OPTIONAL_INPUTS = frozenset({"mask", "depth", "normal", "camera"})
OUTPUT = OBJECT_IMAGE
