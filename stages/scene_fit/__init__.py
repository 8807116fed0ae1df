"""A radiance field of a capture: a sparse grid, fitted to its pictures from coarse to fine, some of them held out.

Phase after phase the grid gets finer, and only cells that were seen to hold something go on (Yu et al. 2022,
Plenoxels). An object cut out by its masks is bounded; a photographed place is contracted (Barron et al. 2022), with a
sky behind it. Every tenth picture is held out, and measured at the end.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.artifacts import FIELD, POSED_IMAGES
from stages.contract.parameters import StageParams

Resolution = Annotated[int, Field(ge=5, le=513)]


class Params(StageParams):
    """What the stage can be told."""

    extent: Literal["auto", "bounded", "unbounded"] = Field(
        "auto",
        description="what there is: an object in the unit box, or a place; auto: an object where masks cut it out",
    )
    resolutions: tuple[Resolution, ...] = Field((33, 65, 97), min_length=1, description="nodes along an axis, by phase")
    steps: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        (400, 600, 1200), description="steps, by phase"
    )
    rays_per_step: int = Field(2048, ge=16, le=262_144, description="rays a step; half of it in the first phase")
    segments: int = Field(
        64, ge=8, le=1024, description="coarse pieces of a ray, skipped where nothing is; half in the first phase"
    )
    samples_per_segment: int = Field(4, ge=1, le=32, description="samples in a piece; half in the first phase")
    sh_degree: int = Field(1, ge=0, le=2, description="how much colours depend on the direction of view")
    density_rate: float = Field(0.3, gt=0, le=10, description="Adam's learning rate of density logits")
    colour_rate: float = Field(0.05, gt=0, le=10, description="Adam's learning rate of colours and sky")
    decay_to: float = Field(0.1, gt=0, le=1, description="what rates fall to in the last phase, as a fraction")
    smoothness_weight: float = Field(0.02, ge=0, description="weight of the differences between neighbouring nodes")
    distortion_weight: float = Field(0.01, ge=0, description="weight of the spread of a ray's weight along it")
    least_weight: float = Field(
        0.02, ge=0, le=1, description="cells that no ray saw with so much weight are dropped between phases"
    )
    measured_views: int = Field(24, ge=1, le=10_000, description="at most so many held-out pictures are compared")
    held_out_every: int = Field(10, ge=0, le=1000, description="one picture of so many is held out; 0: none")

    @model_validator(mode="after")
    def _phases(self) -> "Params":
        if len(self.resolutions) != len(self.steps):
            raise ValueError(
                f"{len(self.resolutions)} resolutions but {len(self.steps)} numbers of steps; give one each"
            )
        return self


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "resolutions": (65, 129, 257),
        "steps": (2000, 8000, 20_000),
        "rays_per_step": 8192,
        "segments": 160,
        "sh_degree": 2,
    },
}
INPUTS = {"images": POSED_IMAGES}
OUTPUT = FIELD
