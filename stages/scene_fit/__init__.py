"""A radiance field of a capture: a sparse grid, fitted to its images from coarse to fine, with some held out.

With `kind=splats` it is a set of Gaussian splats (Kerbl et al. 2023), which is what `splats` sets up.

The grid gets finer from phase to phase, and only cells that some ray saw something in are kept (Yu et al. 2022,
Plenoxels). An object cut out by its masks is bounded; a captured place is contracted (Barron et al. 2022), with a sky
behind it. Every tenth image is held out and measured at the end. Learning rates fall in the last phase only.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from prior3d.settings.scenes import (
    SceneOptimiserSettings,
    ScenePruningSettings,
    SceneRegulariserSettings,
    SceneRenderSettings,
)
from prior3d.settings.splats import SplatSettings
from stages.artifacts import FIELD, POSED_IMAGES
from stages.contract.parameters import StageParams

Resolution = Annotated[int, Field(ge=5, le=513)]


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    kind: Literal["grid", "splats"] = Field(
        "grid", description="what is fitted: values at the nodes of a grid, or Gaussian splats"
    )
    extent: Literal["auto", "bounded", "unbounded"] = Field(
        "auto",
        description="bounded: an object in the unit box; unbounded: a place; auto: an object where masks cut it out",
    )
    resolutions: tuple[Resolution, ...] = Field((33, 65, 97), min_length=1, description="nodes along an axis, by phase")
    steps: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        (400, 600, 1200), description="steps, by phase"
    )
    first_phase_fraction: float = Field(
        0.5, gt=0, le=1, description="fraction of the rays, bins and samples that the first of several phases takes"
    )
    sh_degree: int = Field(1, ge=0, le=2, description="how much colours depend on the viewing direction")
    held_out_every: int = Field(10, ge=0, le=1000, description="one image of so many is held out; 0: none")
    n_measured_views: int = Field(24, ge=1, le=10_000, description="most held-out images that are measured")
    preview_pairs: int = Field(4, ge=1, le=100, description="pairs of render and image in a row of the preview")
    rendering: SceneRenderSettings = SceneRenderSettings(samples_per_bin=4)
    optimiser: SceneOptimiserSettings = SceneOptimiserSettings(density_learning_rate=0.3, decay_from=0.0, decay_to=0.1)
    regularisers: SceneRegulariserSettings = SceneRegulariserSettings()
    pruning: ScenePruningSettings = ScenePruningSettings()
    splats: SplatSettings = SplatSettings()

    renamed: ClassVar[dict[str, str]] = {
        "rays_per_step": "rendering.rays_per_step",
        "segments": "rendering.n_bins",
        "samples_per_segment": "rendering.samples_per_bin",
        "density_rate": "optimiser.density_learning_rate",
        "colour_rate": "optimiser.learning_rate",
        "decay_to": "optimiser.decay_to",
        "smoothness_weight": "regularisers.smoothness_weight",
        "distortion_weight": "regularisers.distortion_weight",
        "least_weight": "pruning.min_weight",
        "measured_views": "n_measured_views",
    }

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
        "sh_degree": 2,
        "rendering": {"rays_per_step": 8192, "n_bins": 160},
        "splats": {"counts": (50_000, 100_000, 200_000), "steps": (2000, 8000, 20_000)},
    },
}
INPUTS = {"images": POSED_IMAGES}
OUTPUT = FIELD
