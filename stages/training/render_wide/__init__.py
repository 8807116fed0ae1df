"""Render sets of the wider world: new kinds with materials and random light, shapes without names, real objects.

Real objects are optional: without `data/objects` (`prior3d priors fetch-objects`) set `real_share: 0`.
"""

from typing import Literal

from pydantic import Field

from stages.contract.parameters import StageParams
from stages.training.parameters import Fraction

CHUNK = 20  # objects a worker renders between two marks on disk


class Params(StageParams):
    """How many objects, of which kinds, and views of each."""

    version: Literal[2] = Field(2, description="of the world; 1 is the toy world, which training.render_sets draws")
    train_objects: int = Field(20_000, ge=CHUNK, multiple_of=CHUNK, description="objects to train on")
    train_views: int = Field(13, ge=6, description="views of each of these, the ring of four included")
    held_out_objects: int = Field(240, ge=CHUNK, multiple_of=CHUNK, description="objects to measure on")
    held_out_views: int = Field(8, ge=6, description="views of each of these, the ring of four included")
    size: int = Field(64, ge=16, description="side of the images", json_schema_extra={"unit": "pixels"})
    real_share: Fraction = Field(0.35, description="of the objects are real ones")
    nameless_share: Fraction = Field(0.4, description="of the others are shapes without a name or a caption")
    random_light: Fraction = Field(0.5, description="of the objects are not lit as the toy world is")
    workers: int = Field(2, ge=1, description="processes")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS: dict = {}
OUTPUT = None
FOLDER, OBJECTS = "data/wide", "data/objects"
