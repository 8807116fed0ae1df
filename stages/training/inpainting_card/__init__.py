"""Score the inpainting prior on held-out objects and write its model card."""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET
from stages.training.parameters import CardParams


class Params(CardParams):
    """How much is measured, and how samples are drawn."""

    images: int = Field(96, ge=10, description="held-out objects that scores are a mean over")
    guidance_scale: float = Field(2.0, ge=1, description="classifier-free guidance; 1 is none")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"world": RENDERED_DATASET}
OUTPUT = None
FOLDER = "data/priors/toy-inpainting"
