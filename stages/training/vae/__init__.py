"""Train the toy prior's autoencoder: 64² images to 16x16x4 latents.

No KL term: with it channels collapse and hue is lost. In its place a mild pull of the mean to zero and noise on the
latents keep the space smooth; afterwards the latents are whitened, and the whitening is folded into `quant_conv` and
`post_quant_conv`, so the result is an ordinary AutoencoderKL with a scaling factor of 1.
"""

from typing import Self

from pydantic import Field, model_validator

from stages.artifacts import RENDERED_DATASET
from stages.training.parameters import Fraction, TrainingParams, threads


class Params(TrainingParams):
    """How the autoencoder is trained."""

    steps: int = Field(6_000, ge=1, description="optimiser steps", json_schema_extra={"unit": "steps"})
    batch: int = Field(16, ge=1, description="whole images a step; while cropping, three times as many crops")
    crop: int = Field(
        32, ge=16, description="side of the crops that most of the training sees", json_schema_extra={"unit": "pixels"}
    )
    crop_share: Fraction = Field(0.85, description="fraction of the training on crops; whole images after it")
    chroma_weight: float = Field(4.0, ge=0, description="weight of the colour-difference error")
    squared_weight: float = Field(0.0, ge=0, description="weight of the squared error, which is what PSNR measures")
    learning_rate: float = Field(2e-3, gt=0, description="highest learning rate of AdamW")
    channels: tuple[int, ...] = Field((16, 32, 64), description="widths of the levels, each half the size")
    latent_noise: float = Field(0.1, ge=0, description="standard deviation of the noise on training latents")
    mean_pull: float = Field(3e-4, ge=0, description="weight of the squared latent mean")
    decoder_only: bool = Field(False, description="leave the encoder as it is: models trained on its latents still fit")
    threads: int = threads()

    @model_validator(mode="after")
    def _decoder_has_an_encoder(self) -> Self:
        if self.decoder_only and not self.warm_start:
            raise ValueError("decoder_only trains the decoder of an encoder that is there: set warm_start too")
        return self


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"world": RENDERED_DATASET}
OUTPUT = None
FOLDER = "data/priors/toy/vae"
