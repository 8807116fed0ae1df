"""Train the instruct prior: the text-to-image model that also sees an image, and is told in words what to change.

Instructions have words that no caption has, so the tokenizer grows and the text encoder is trained along. Instruction,
image, or both are left out now and then, for guidance on either (Brooks et al. 2023, section 3.2.1).
"""

from typing import Annotated

from pydantic import Field

from stages.artifacts import EDIT_DATASET, TEXT_TO_IMAGE_FOLDER
from stages.training.parameters import ConditionalParams

Drop = Annotated[float, Field(ge=0, le=0.3)]


class Params(ConditionalParams):
    """How the instruct prior is trained."""

    drop_instruction: Drop = Field(0.05, description="fraction of samples without instruction alone")
    drop_image: Drop = Field(0.05, description="fraction of samples without image alone")
    drop_both: Drop = Field(0.05, description="fraction of samples without instruction and image")
    timestep_power: float = Field(
        1.0, gt=0, le=1, description="below 1, strong noise comes more often, where all of an edit is decided"
    )


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"edits": EDIT_DATASET, "text_to_image": TEXT_TO_IMAGE_FOLDER}
OUTPUT = None
FOLDER = "data/priors/toy-instruct"
