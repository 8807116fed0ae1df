"""Score the scorer on held-out objects and write its model card, with images of what it mistakes."""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET
from stages.training.parameters import CardParams


class Params(CardParams):
    """How much is measured."""

    captions: int = Field(200, ge=2, description="each image is told among so many")
    draws: int = Field(12, ge=1, description="draws of captions, views and backgrounds")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"world": RENDERED_DATASET}
OUTPUT = None
FOLDER = "data/priors/toy-scorer"
