"""Score the text-to-image prior on held-out seeds and write its model card, with a picture of what it samples."""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET, SCORER_FOLDER
from stages.training.parameters import CardParams

PROMPTS = (
    "a red mushroom with white dots",
    "a white rocket with red fins",
    "a blue mug",
    "a brown chair",
    "a yellow duck",
    "a green table with yellow legs",
    "a snowman with a black hat",
    "a red car",
)


class Params(CardParams):
    """How much is measured."""

    images: int = Field(480, ge=16, multiple_of=16, description="held-out renders that errors are a mean over")
    captions: int = Field(200, ge=4, description="held-out captions that samples are drawn for and told among")
    guidance_scale: float = Field(3.0, ge=1, description="classifier-free guidance; 1 is none")
    steps: int = Field(30, ge=1, description="DDIM steps of the samples", json_schema_extra={"unit": "steps"})


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"world": RENDERED_DATASET, "scorer": SCORER_FOLDER}
OUTPUT = None
FOLDER = "data/priors/toy"
