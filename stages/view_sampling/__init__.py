"""Novel views drawn from the diffusion model, each by itself, for looking at: nothing later depends on them.

`samples.png` shows, from the top: the inputs, what the feature transformer says of evenly chosen cameras of the ring,
and what the diffusion model draws there. Where draws differ from view to view, the inputs leave doubt.
"""

from pydantic import Field

from stages.artifacts import POSED_IMAGES, PRIOR, SAMPLES, VIEW_FEATURES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    n_views: int = Field(8, ge=1, le=100, description="cameras of the ring to draw at, evenly chosen")
    denoising_steps: int = Field(20, ge=1, le=1000, description="DDIM steps of a draw")
    guidance_scale: float = Field(1.0, ge=0, le=50, description="classifier-free guidance s; 1 is none")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"denoising_steps": 50, "n_views": 32}}
INPUTS = {"views": POSED_IMAGES, "features": VIEW_FEATURES, "prior": PRIOR}
OUTPUT = SAMPLES
