"""Render sets of posed views of toy objects, for the joint-view prior to be trained and judged on.

The first four views of an object are a ring: azimuths 90 degrees apart at one elevation. The others are at random
cameras. The layout on disk is that of `data/views`.
"""

from typing import Literal

from pydantic import Field

from stages.contract.parameters import StageParams

CHUNK = 20  # objects a worker renders between two marks on disk


class Params(StageParams):
    """How many objects, and views of each."""

    train_objects: int = Field(8_000, ge=CHUNK, multiple_of=CHUNK, description="objects to train on")
    train_views: int = Field(13, ge=6, description="views of each of these, the ring of four included")
    held_out_objects: int = Field(200, ge=CHUNK, multiple_of=CHUNK, description="objects to measure on")
    held_out_views: int = Field(8, ge=6, description="views of each of these, the ring of four included")
    size: int = Field(64, ge=16, description="side of the images", json_schema_extra={"unit": "pixels"})
    renderer: Literal["rasteriser", "ray_caster"] = Field(
        "rasteriser", description="a z-buffer, three times as fast and the same pixels, but it needs numba; or Open3D"
    )
    workers: int = Field(2, ge=1, description="processes")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS: dict = {}
OUTPUT = None
FOLDER = "data/sets"
