"""A person's image becomes a square image of one object, cut out, with the camera that sees it so.

The object's outline comes from, in this order: a mask file; the image's own alpha channel; else the colours of its
border, or rembg where that is asked for. With a camera the image is only padded to a square. Without one the object is
put in the middle, and the camera is taken from the parameters. Images are never stretched.
"""

from typing import ClassVar, Literal

from pydantic import Field

from prior3d.settings import Degrees, Pixels, WorldUnits
from stages.artifacts import CAMERA_TEXT, IMAGE_FILE, OBJECT_IMAGE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    size: Pixels = Field(256, ge=16, le=2048, description="side of the prepared image; a smaller one is not enlarged")
    background_removal: Literal["classical", "rembg"] = Field(
        "classical",
        description="for an image without alpha and mask: by what its border leads to, or by rembg (a network; install "
        "prior3d[background], which downloads its own weights)",
    )
    azimuth_deg: Degrees = Field(
        0.0, ge=-360, le=360, description="without --camera: azimuth of the camera; 0 sees the front"
    )
    elevation_deg: Degrees = Field(15.0, ge=-90, le=90, description="without --camera: elevation of the camera")
    fov_deg: Degrees = Field(40.0, ge=1, le=120, description="without --camera: field of view")
    fill_fraction: float = Field(
        0.75,
        gt=0.1,
        le=1,
        description="without --camera: length of the object's longer side as a fraction of the square's side",
    )
    frame_width: WorldUnits = Field(
        2.3294,
        gt=0.1,
        le=20,
        description="width of the world that the square shows at the object's distance; sets the camera's distance",
    )
    depth_kind: Literal["distance", "disparity"] = Field(
        "distance", description="whether brighter means farther (distance) or nearer (disparity) in a depth image"
    )

    renamed: ClassVar[dict[str, str]] = {"fill": "fill_fraction"}


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
