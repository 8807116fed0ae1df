"""Settings of a field that is fitted to a few posed images."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Rays, Resolution, Samples, Weight
from prior3d.settings.optimisation import OptimiserSettings
from prior3d.settings.refresh import SurfaceSettings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FitSettings:
    """How a field is fitted to a few posed images, and to a prior's views between them where there are any."""

    resolutions: tuple[Resolution, ...] = Field(
        default=(17, 33), min_length=1, description="nodes along an axis of each dense grid of the field"
    )
    n_samples: Samples = Field(default=48, ge=4, le=2048, description="samples along a ray")
    rays_per_step: Rays = Field(
        default=1024, ge=16, le=262_144, description="rays of the images per step, and as many of the prior's views"
    )
    mask_weight: Weight = Field(default=0.5, description="weight of the opacity's difference to the masks")
    surface: SurfaceSettings = SurfaceSettings(distortion_weight=0.5, sparsity_weight=1e-3, smoothness_weight=3.0)
    optimiser: OptimiserSettings = OptimiserSettings(learning_rate=0.02, decay_from=0.6, decay_to=0.05)
