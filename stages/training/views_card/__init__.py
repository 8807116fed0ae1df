"""Score the views prior on held-out objects and write its model card, with a picture of what it makes."""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET
from stages.training.parameters import CardParams


class Params(CardParams):
    """How much is measured."""

    objects: int = Field(20, ge=1, description="held-out objects that every score is a mean over")
    views: int = Field(16, ge=1, description="query views of each")
    steps: int = Field(20, ge=1, description="DDIM steps of the samples", json_schema_extra={"unit": "steps"})


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"views": RENDERED_DATASET}
OUTPUT = None
FOLDER = "data/priors/toy-views"
