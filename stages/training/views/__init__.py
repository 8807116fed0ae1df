"""Train the views prior: an epipolar feature transformer and a diffusion model conditioned on its features.

Both are trained together, as in SparseFusion (Zhou and Tulsiani 2023, section 3): the diffusion model predicts v of a
query view's latents, given the features; a robust loss compares the transformer's own image with the query view. The
diffusion model starts from nothing and is small: its condition is aligned with its latents pixel by pixel, so it has
little to find out. The condition is dropped whole now and then, so that guidance works.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from stages.artifacts import AUTOENCODER_FOLDER, RENDERED_DATASET
from stages.training.parameters import Fraction, Precision, TrainingParams, precision, threads

FOLDER = "data/priors/toy-views"


class Params(TrainingParams):
    """How the views prior is trained."""

    data: str | None = Field(None, description="a category of your own in CO3Dv2's layout; None: the toy world's views")
    out: str = Field(FOLDER, description="folder of the prior; name another one with data of your own")
    steps: int = Field(20_000, ge=1, description="optimiser steps", json_schema_extra={"unit": "steps"})
    scenes: int = Field(2, ge=1, description="scenes a step")
    queries: int = Field(4, ge=1, description="query views of each scene; fewer where contexts leave fewer images")
    context_shares: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.15, 0.3, 0.25, 0.1, 0.1, 0.1),
        min_length=1,
        description="shares of the steps with 1, 2, ... contexts; more contexts cost more",
    )
    noises: int = Field(2, ge=1, description="noise levels at which each query is denoised")
    channels: tuple[int, int, int] = Field((32, 48, 80), description="widths of the UNet's levels")
    width: int = Field(48, ge=8, multiple_of=8, description="width of the epipolar transformer's tokens")
    depth_samples: int = Field(12, ge=2, description="depths at which each ray looks into the contexts")
    precision: Precision = precision()
    regression_weight: float = Field(5.0, ge=0, description="weight of the loss of the transformer's own image")
    drop_condition: Fraction = Field(0.1, description="fraction of samples without condition")
    preview_steps: int = Field(500, ge=1, description="steps between two sheets of samples, preview.png")
    threads: int = threads()

    @model_validator(mode="after")
    def _own_data_has_its_own_prior(self) -> Self:
        """Keep the embedded prior from being overwritten, and leave a number of contexts for every scene."""
        if self.context_shares[0] == 0:
            raise ValueError("context_shares starts with 0; scenes of two images need a share with 1 context")
        if self.data is not None and self.out == FOLDER:
            raise ValueError(f"data {self.data} would overwrite the embedded prior {FOLDER}; set out as well")
        return self


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"views": RENDERED_DATASET, "vae": AUTOENCODER_FOLDER}
OPTIONAL_INPUTS = frozenset({"views"})  # of a training on data of one's own
OUTPUT = None
