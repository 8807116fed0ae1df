"""Render toy objects from many sides each, for the view-conditioned prior to be trained and judged on.

It is the layout of `data/world` with more views of each object.
"""

from pydantic import Field

from stages.contract.parameters import StageParams

CHUNK = 20  # objects a worker renders between two marks on disk


class Params(StageParams):
    """How many objects, and views of each."""

    train_objects: int = Field(6_000, ge=CHUNK, multiple_of=CHUNK, description="objects to train on")
    train_views: int = Field(8, ge=2, description="views of each of these")
    held_out_objects: int = Field(60, ge=CHUNK, multiple_of=CHUNK, description="objects to measure on")
    held_out_views: int = Field(40, ge=2, description="views of each of these")
    size: int = Field(64, ge=16, description="side of the images", json_schema_extra={"unit": "pixels"})
    workers: int = Field(2, ge=1, description="processes")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS: dict = {}
OUTPUT = None
FOLDER = "data/views"
