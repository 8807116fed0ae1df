"""Settings of a reconstruction from a few views with a prior of views: SparseFusion and what goes beyond it."""

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Decibels, FractionOfSteps, Steps, StrengthRange, Weight


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConfidenceSettings:
    """How far a prior is trusted: its PSNR on inputs left out, compared with fits without a prior."""

    full_at_db: Decibels = Field(
        default=0.0,
        ge=-100,
        le=100,
        description="the prior counts fully if it shows inputs left out this much better than fits do",
    )
    none_at_db: Decibels = Field(
        default=-3.0,
        ge=-100,
        le=100,
        description="the prior counts nothing from this difference down; linear in between",
    )

    @model_validator(mode="after")
    def _falls(self) -> "ConfidenceSettings":
        """Less than full confidence begins below full confidence."""
        if self.none_at_db >= self.full_at_db:
            raise ValueError(f"none_at_db {self.none_at_db} is not below full_at_db {self.full_at_db}; lower it")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RingSettings:
    """Views of a ring of cameras that the prior makes, and that its diffusion model refreshes during the fit."""

    weight: Weight = Field(
        default=0.03, description="weight of these views where the prior is trusted fully; input views have 1; 0: none"
    )
    single_input_weight: Weight = Field(
        default=0.5, description="the same where there is one input view, which by itself leaves all depths open"
    )
    drawn_weight: Weight = Field(
        default=0.3, description="weight of views that a joint-view prior drew of a thing that it knows; 0: none"
    )
    warm_up: FractionOfSteps = Field(
        default=1 / 3, description="how long the feature transformer's images are fitted before views are refreshed"
    )
    strength_range: StrengthRange = Field(
        default=(0.0, 0.5), description="noise level to which renders are taken, drawn from this range"
    )
    num_inference_steps: int = Field(
        default=8, ge=1, le=1000, description="most DDIM steps from the noise level down; 100 times the level, if fewer"
    )
    refresh_every: Steps = Field(default=30, ge=1, le=100_000, description="steps between two refreshes")
    views_per_refresh: int = Field(default=8, ge=1, le=400, description="views that each refresh replaces")
    regression_weight: float = Field(
        default=0.5, ge=0, le=1, description="how much of the feature transformer's image a refreshed view keeps"
    )
