"""Parameters that every fit of a field to a few posed views shares."""

from typing import TYPE_CHECKING

from pydantic import Field

from stages.entry import StageParams
from stages.guided_views import Range, Resolution

if TYPE_CHECKING:
    from prior3d.sparse_fit import FitSettings

SHARED = (
    "resolutions", "n_samples", "rays_per_step", "mask_weight", "entropy_weight", "distortion_weight",
    "sparsity_weight", "smoothness_weight", "ramp",
)  # fmt: skip


class FitParams(StageParams):
    """How a field is fitted to views; the defaults are the `toy` preset."""

    learning_rate: float = Field(0.02, gt=0, le=1, description="of networks; grids take ten times as much")
    resolutions: tuple[Resolution, ...] = Field((17, 33), description="dense grids of the field, nodes along an axis")
    n_samples: int = Field(48, ge=4, le=2048, description="samples along a ray", json_schema_extra={"unit": "samples"})
    rays_per_step: int = Field(
        1024, ge=16, le=262_144, description="rays of the input views a step, and as many of the prior's views",
        json_schema_extra={"unit": "rays"},
    )  # fmt: skip
    mask_weight: float = Field(0.5, ge=0, description="weight of the opacity's difference to the mask")
    entropy_weight: float = Field(0.02, ge=0, description="weight of the rays' opacity entropy in bits")
    distortion_weight: float = Field(
        0.5, ge=0, description="weight of the distortion, which gathers a ray's weight in one place"
    )
    sparsity_weight: float = Field(1e-3, ge=0, description="weight of the mean opacity")
    smoothness_weight: float = Field(3.0, ge=0, description="weight of the field's total variation (surface, colours)")
    ramp: Range = Field(
        (0.3, 1.0),
        description="when the three before that begin to rise and are at full weight",
        json_schema_extra={"unit": "of steps"},
    )

    def settings(self) -> "FitSettings":
        """For the library."""
        from prior3d.sparse_fit import FitSettings

        return FitSettings(**{name: getattr(self, name) for name in SHARED})
