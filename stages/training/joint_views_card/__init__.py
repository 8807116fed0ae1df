"""Score the joint-view prior on held-out objects and write its model card, with an image of what it draws."""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET, SCORER_FOLDER, TEXT_TO_IMAGE_FOLDER
from stages.training.parameters import CardParams


class Params(CardParams):
    """How much is measured."""

    objects: int = Field(64, ge=2, description="held-out objects of differing captions that scores are a mean over")
    sets: int = Field(64, ge=8, multiple_of=8, description="held-out sets of each kind that errors are a mean over")
    guidance_scale: float = Field(2.5, ge=1, description="guidance on the caption where no view is given; 1 is none")
    steps: int = Field(10, ge=1, description="DDIM steps of the samples", json_schema_extra={"unit": "steps"})


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"sets": RENDERED_DATASET, "text_to_image": TEXT_TO_IMAGE_FOLDER, "scorer": SCORER_FOLDER}
OUTPUT = None
FOLDER = "data/priors/toy-mv"
