"""Collect what runs have finished: views of their textured meshes, with the prompts, as a dataset to train on.

Each mesh is taken once, by the digest that DVC gave it in the run's `dvc.lock`; `found.json` names digest and run. Only
runs from a prompt alone count, since their prompt says what the mesh shows. Every eighth is held out.
"""

from pydantic import Field

from stages.contract.parameters import StageParams


class Params(StageParams):
    """What is collected."""

    views: int = Field(12, ge=4, description="of each mesh, at random cameras of the toy world")
    size: int = Field(64, ge=16, description="side of the images", json_schema_extra={"unit": "pixels"})


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS: dict = {}
OUTPUT = None
FOLDER = "data/finished"
HELD_OUT_EVERY = 8
