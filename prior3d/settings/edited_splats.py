"""Settings of Gaussian splats that are fitted to images while a prior edits these (after Instruct-GS2GS)."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Steps
from prior3d.settings.splats import SplatDensityControl, SplatRates


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EditedSplatSettings:
    """How splats follow edited images; the defaults are for edits of colour, which move no Gaussian far."""

    steps: Steps = Field(default=400, ge=1, le=1_000_000, description="optimisation steps; each renders one image")
    edit_all_every: Steps = Field(
        default=200,
        ge=0,
        le=1_000_000,
        description="iterative: steps between two times that all images are edited, one after the other; 0: one image "
        "every dataset_update.edit_every steps",
    )
    rates: SplatRates = SplatRates(
        means=1e-4, quats=1e-3, scales=2e-3, opacities=1e-2, sh0=5e-2, shN=5e-3, decay_to=0.05
    )
    density_control: SplatDensityControl = SplatDensityControl(until=0.0, opacity_weight=0.0, scale_weight=0.0)
