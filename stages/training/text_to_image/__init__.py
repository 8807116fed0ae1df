"""Train the toy prior itself: a small latent diffusion model on captions and continuous cameras.

A UNet2DConditionModel predicts v on the autoencoder's latents. It sees the caption through a CLIPTextModel that is
trained with it, and the camera through its class embedding; both are dropped independently, so guidance works on
either, and view words stand in half of the captions, so plain prompts work too.
"""

from pydantic import Field

from stages.artifacts import AUTOENCODER_FOLDER, RENDERED_DATASET
from stages.training.parameters import Fraction, Precision, TrainingParams, precision


class Params(TrainingParams):
    """How the text-to-image model is trained."""

    steps: int = Field(12_000, ge=1, description="optimiser steps", json_schema_extra={"unit": "steps"})
    batch: int = Field(32, ge=1, description="samples a step, over all workers")
    learning_rate: float = Field(1e-3, gt=0, description="highest learning rate of AdamW")
    precision: Precision = precision()
    channels: tuple[int, int, int] = Field((48, 96, 144), description="widths of the UNet's levels")
    text_width: int = Field(128, ge=4, multiple_of=4, description="width of the text encoder")
    drop_caption: Fraction = Field(0.12, description="fraction of samples without caption")
    drop_camera: Fraction = Field(0.15, description="fraction of samples without camera")
    drop_view_word: Fraction = Field(0.5, description="fraction of captions without view word")
    drop_background: Fraction = Field(0.1, description="fraction of captions without background")
    patterned_share: Fraction = Field(0.0, description="fraction of samples drawn from patterned objects only")
    workers: int = Field(2, ge=1, description="processes, one thread each, that average their gradients")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"world": RENDERED_DATASET, "vae": AUTOENCODER_FOLDER}
OUTPUT = None
FOLDER = "data/priors/toy"
