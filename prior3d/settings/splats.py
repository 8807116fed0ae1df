"""Settings of Gaussian splats that are fitted to a capture."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Fraction, Steps, Weight

Rate = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplatRates:
    """Adam's learning rate of each kind of tensor, and how all of them fall towards the end."""

    means: Rate = Field(default=1e-3, description="of the centres, in world units a step")
    quats: Rate = Field(default=5e-3, description="of the rotations")
    scales: Rate = Field(default=1e-2, description="of the scales' logarithms")
    opacities: Rate = Field(default=5e-2, description="of the opacities' logits")
    sh0: Rate = Field(default=1e-2, description="of the colours that all directions share")
    shN: Rate = Field(default=1e-3, description="of what differs by direction")
    decay_to: float = Field(
        default=0.02, gt=0, le=1, description="fraction of the rates that is left at the end of the last phase"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplatDensityControl:
    """How Gaussians that show nothing move to where something is (Kheradmand et al. 2024, 3DGS-MCMC)."""

    every: Steps = Field(default=50, ge=1, description="steps between two times that Gaussians are moved")
    until: Fraction = Field(default=0.8, description="of a phase: none is moved after that")
    min_opacity: Fraction = Field(default=0.01, description="a Gaussian of a lower opacity shows nothing")
    noise: float = Field(
        default=5e3, ge=0, description="of the random walk of faint Gaussians, relative to the centres' learning rate"
    )
    opacity_weight: Weight = Field(default=1e-3, description="weight of the mean opacity")
    scale_weight: Weight = Field(default=1e-3, description="weight of the mean standard deviation, in world units")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplatSettings:
    """A fit of Gaussian splats, phase after phase, each with more Gaussians or larger images."""

    counts: tuple[Annotated[int, Field(ge=16, le=5_000_000)], ...] = Field(
        default=(5000, 10_000, 20_000), min_length=1, description="Gaussians, by phase"
    )
    steps: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        default=(300, 500, 1500), description="steps, by phase; each renders one image"
    )
    image_fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.5, 1.0, 1.0), description="of the images' sides, by phase"
    )
    start: Literal["auto", "points", "grid", "random"] = Field(
        default="auto",
        description="where Gaussians begin: on the points of COLMAP's model, on surfaces of a short fit of the grid, "
        "at random (inside all masks of an object, all round in a place); auto: points where the capture has some, "
        "else grid",
    )
    grid_steps: Steps = Field(
        default=100,
        ge=1,
        description="start on the grid: steps of its fit, with the nodes of its first phase and a quarter of its rays",
    )
    rates: SplatRates = SplatRates()
    density_control: SplatDensityControl = SplatDensityControl()

    @model_validator(mode="after")
    def _phases(self) -> "SplatSettings":
        """One number each, and no phase with fewer Gaussians than the one before."""
        if not len(self.counts) == len(self.steps) == len(self.image_fractions):
            raise ValueError(
                f"{len(self.counts)} counts, {len(self.steps)} numbers of steps and {len(self.image_fractions)} "
                "fractions of the images; give one of each for every phase"
            )
        if sorted(self.counts) != list(self.counts):
            raise ValueError(f"counts must not fall from phase to phase, found {list(self.counts)}")
        return self
