"""Train the inpainting prior: the text-to-image model that also sees a mask and the image with its hole grey."""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET, TEXT_TO_IMAGE_FOLDER
from stages.training.parameters import ConditionalParams, Fraction


class Params(ConditionalParams):
    """How the inpainting prior is trained."""

    drop_caption: Fraction = Field(0.1, description="fraction of samples without caption")
    drop_view_word: Fraction = Field(0.5, description="fraction of captions without view word")
    drop_background: Fraction = Field(0.3, description="fraction of captions without background")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"world": RENDERED_DATASET, "text_to_image": TEXT_TO_IMAGE_FOLDER}
OUTPUT = None
FOLDER = "data/priors/toy-inpainting"
