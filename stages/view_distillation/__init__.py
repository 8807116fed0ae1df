"""SparseFusion's distillation: one field that shows the input views, and elsewhere what the views prior holds likely.

Every step looks at rays of the input views, which always count fully, and of a ring of cameras between them. At first
the ring shows the feature transformer's own pictures and masks. After a third of the steps some of its views are now
and then rendered, noised to a random level and denoised by the diffusion model in several steps without guidance; these
pictures take the old ones' place, with weight 1 - ᾱ of their noise level (Zhou and Tulsiani 2023, section 3.3). The
paper denoises a render at every step and forgets it; keeping it for the steps to come costs far less, and a step then
sees rays of the whole ring. The gradient passes through the render alone. All of the ring counts as far as the prior
can be trusted, which `view_features` measured.
"""

from typing import Self

from pydantic import Field, model_validator

from stages.artifacts import FIELD, POSED_IMAGES, PRIOR, SYMMETRY, VIEW_FEATURES
from stages.contract.parameters import FitParams, Range


class Params(FitParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(480, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    prior_weight: float = Field(
        0.03, ge=0, description="weight of the prior's views where it is trusted fully; input views have 1; 0: none"
    )
    single_prior_weight: float = Field(
        0.5, ge=0, description="the same where there is one input view, which by itself leaves all depths open"
    )
    warm_up: float = Field(
        1 / 3, ge=0, le=1, description="share of the steps at which the feature transformer's pictures are fitted",
        json_schema_extra={"unit": "of steps"},
    )  # fmt: skip
    noise_levels: Range = Field(
        (0.0, 0.5), description="range of the noise to which renders are taken", json_schema_extra={"unit": "of T"}
    )
    denoising_steps: int = Field(8, ge=1, le=1000, description="most DDIM steps from the noise down; 100 u, if fewer")
    refresh_every: int = Field(
        30, ge=1, le=100_000, description="steps between two times that views are denoised anew",
        json_schema_extra={"unit": "steps"},
    )  # fmt: skip
    views_at_once: int = Field(8, ge=1, le=400, description="views of the ring that are then denoised")
    keep_regression: float = Field(
        0.5, ge=0, le=1, description="share of the feature transformer's picture that stays in a denoised one"
    )

    @model_validator(mode="after")
    def _noise_is_noise(self) -> Self:
        """Noise levels lie in [0, 1]."""
        if not 0 <= self.noise_levels[0] <= self.noise_levels[1] <= 1:
            raise ValueError(f"noise_levels {list(self.noise_levels)} are not within 0 and 1")
        return self


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 3000,
        "learning_rate": 5e-4,
        "resolutions": (17, 33, 65, 129),
        "n_samples": 128,
        "rays_per_step": 16_384,
        "prior_weight": 1.0,
        "single_prior_weight": 1.0,
        "noise_levels": (0.0, 1.0),
        "denoising_steps": 50,
        "refresh_every": 1,
        "views_at_once": 1,
        "keep_regression": 0.0,
    },
}
INPUTS = {"views": POSED_IMAGES, "symmetry": SYMMETRY, "features": VIEW_FEATURES, "prior": PRIOR}
OUTPUT = FIELD
