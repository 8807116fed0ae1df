"""Settings of Gaussian splats that a prior makes by score distillation (DreamGaussian, Tang et al. 2023)."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Pixels, WorldUnits
from prior3d.settings.splats import SplatDensityControl, SplatRates


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DistilledSplatSettings:
    """Gaussians that begin at random in a ball, and what their mesh is made from; the defaults are the toy prior's."""

    n_splats: int = Field(default=3000, ge=16, le=5_000_000, description="Gaussians, from the first step to the last")
    sh_degree: int = Field(default=0, ge=0, le=3, description="how much colours depend on the viewing direction")
    start_radius: WorldUnits = Field(default=0.5, gt=0, le=1, description="of the ball in which they begin")
    start_opacity: float = Field(default=0.1, gt=0, lt=1, description="of each at the start")
    rates: SplatRates = SplatRates(means=1e-2, scales=5e-3, sh0=4e-2, decay_to=1.0)
    density_control: SplatDensityControl = SplatDensityControl(noise=0.0, opacity_weight=0.0, scale_weight=0.0)
    meshed_by: Literal["density", "depths"] = Field(
        default="density",
        description="density: the mesh is the surface of a solid, where the sum of the Gaussians is high; depths: it "
        "is where images agree in depth, as for captured scenes",
    )
    mesh_views: int = Field(
        default=48,
        ge=4,
        le=1000,
        description="images all round, also from below, that the mesh is compared with and coloured from",
    )
    mesh_image_size: Pixels = Field(default=256, ge=32, le=2048, description="side of those images")
