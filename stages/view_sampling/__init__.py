"""Novel views drawn from the diffusion model, each by itself, to look at: no later stage depends on them.

`samples.png` shows, from the top: the inputs, what the feature transformer predicts of evenly chosen cameras of the
ring, and what the diffusion model draws there. Where draws differ from view to view, the inputs leave doubt.
"""

from typing import ClassVar

from pydantic import Field

from stages.artifacts import POSED_IMAGES, PRIOR, SAMPLES, VIEW_FEATURES
from stages.contract.parameters import PriorParams


class Params(PriorParams):
    """What the stage can be told."""

    n_views: int = Field(8, ge=1, le=100, description="cameras of the ring to draw at, evenly chosen")
    num_inference_steps: int = Field(20, ge=1, le=1000, description="DDIM steps of a draw")
    guidance_scale: float = Field(1.0, ge=0, le=50, description="classifier-free guidance; 1 is none")

    renamed: ClassVar[dict[str, str]] = {"denoising_steps": "num_inference_steps"}


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"num_inference_steps": 50, "n_views": 32}}
INPUTS = {"views": POSED_IMAGES, "features": VIEW_FEATURES, "prior": PRIOR}
OUTPUT = SAMPLES
