"""Score the instruct prior on held-out edits and write its model card."""

from pydantic import Field

from stages.artifacts import EDIT_DATASET
from stages.training.parameters import CardParams


class Params(CardParams):
    """How much is measured, and how samples are drawn."""

    images: int = Field(96, ge=10, description="held-out edits that scores are a mean over")
    guidance_scale: float = Field(2.0, ge=1, description="guidance on the instruction; 1 is none")
    image_guidance_scale: float = Field(1.5, ge=1, description="guidance on the image; 1 is none")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"edits": EDIT_DATASET}
OUTPUT = None
FOLDER = "data/priors/toy-instruct"
