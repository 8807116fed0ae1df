"""Where photos were taken from: COLMAP's structure from motion, by pycolmap (extra `colmap`).

SIFT features of every photo, matches between them, then cameras and points one after the other (Schoenberger and Frahm,
Structure-from-Motion Revisited, CVPR 2016). The result is a capture in COLMAP's layout: the photos, and their model.
"""

from typing import Literal

from pydantic import Field

from prior3d.settings import Fraction, Pixels
from stages.artifacts import PHOTO_FOLDER, POSED_CAPTURE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    max_images: int = Field(
        200, ge=3, le=10_000, description="most photos that are used, chosen evenly in the order of their names"
    )
    longest_side: Pixels = Field(
        1600, ge=160, le=8192, description="features are looked for in photos shrunk to this longest side"
    )
    max_features: int = Field(4096, ge=256, le=32_768, description="most features of a photo")
    camera_model: Literal["SIMPLE_RADIAL", "RADIAL", "OPENCV"] = Field(
        "OPENCV", description="lens: radial distortion of one or two terms, or OpenCV's four"
    )
    one_camera: bool = Field(True, description="photos of one size share one lens")
    matching: Literal["auto", "exhaustive", "sequential"] = Field(
        "auto",
        description="exhaustive: every photo with every other; sequential: with the next ones, for a video's frames; "
        "auto: exhaustive up to exhaustive_images",
    )
    exhaustive_images: int = Field(120, ge=2, le=10_000, description="auto: more photos are matched sequentially")
    sequential_overlap: int = Field(15, ge=1, le=200, description="sequential: so many next photos")
    min_registered: Fraction = Field(0.6, description="fewer photos with a camera, of all, are an error")
    threads: int = Field(1, ge=1, le=256, description="more are faster, and may give other bits")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {}}
INPUTS = {"photos": PHOTO_FOLDER}
OUTPUT = POSED_CAPTURE
