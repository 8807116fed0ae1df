"""Render the toy world: captioned RGBA images of procedural objects, for the priors to be trained on."""

from pydantic import Field

from stages.contract.parameters import StageParams

CHUNK = 200  # objects a worker renders between two marks on disk


class Params(StageParams):
    """The world's size."""

    views_per_object: int = Field(3, ge=1, description="views of each object")
    size: int = Field(64, ge=16, description="side of the images", json_schema_extra={"unit": "pixels"})
    workers: int = Field(2, ge=0, description="processes; 0 renders in this one")
    train_objects: int = Field(24_000, ge=CHUNK, multiple_of=CHUNK, description="objects to train on")
    held_out_objects: int = Field(800, ge=CHUNK, multiple_of=CHUNK, description="objects to measure on")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS: dict = {}
OUTPUT = None
FOLDER = "data/world"
