"""Render edits of the toy world: objects before and after an instruction, for the instruct prior to be trained on."""

from pydantic import Field

from stages.contract.parameters import StageParams

CHUNK = 100  # edits a worker renders between two marks on disk


class Params(StageParams):
    """How many edits."""

    train_edits: int = Field(12_000, ge=CHUNK, multiple_of=CHUNK, description="edits to train on")
    held_out_edits: int = Field(400, ge=CHUNK, multiple_of=CHUNK, description="edits to measure on")
    views_per_edit: int = Field(2, ge=1, description="views of each edit")
    size: int = Field(64, ge=16, description="side of the images", json_schema_extra={"unit": "pixels"})
    workers: int = Field(2, ge=0, description="processes; 0 renders in this one")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS: dict = {}
OUTPUT = None
FOLDER = "data/edits"
