"""Latent-Paint's texture: latents on a person's mesh, made from a sentence by score distillation.

Metzer et al. 2023, section 3.4: renders of the texture are latents at the size at which the prior denoises. Each step
renders views, noises them, asks the prior which noise it sees, and moves the texture by w(t) (eps_hat - eps).
"""

from typing import ClassVar, Literal

from pydantic import Field

from prior3d.settings import Steps, Texels
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings
from prior3d.settings.optimisation import OptimiserSettings
from stages.artifacts import CONCEPT, LATENT_TEXTURE, PRIOR, PROMPT, UV_MESH
from stages.contract.parameters import EngineParams, merged
from stages.contract.presets import DISTILLATION_KINDS, DISTILLATION_NAMES, PAPER_DISTILLATION


class Params(EngineParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: Steps = Field(150, ge=1, le=100_000, description="optimisation steps")
    resolution: Texels = Field(64, ge=8, le=1024, description="side of the latent texture")
    supersampling: int = Field(4, ge=1, le=16, description="samples along each side of a latent pixel")
    lookup: Literal["bilinear", "nearest"] = Field("bilinear", description="how a sample reads the texture")
    start: Literal["grey", "red"] = Field(
        "grey",
        description="grey as this prior encodes it; or the paper's faint red, by the linear map of Stable Diffusion's "
        "latents, of other latents as the prior encodes it. Noise on top",
    )
    start_noise: float = Field(0.1, ge=0, le=10, description="standard deviation of the texture's noise at the start")
    background: Literal["named", "learned"] = Field(
        "named", description="flat white, grey or black that the prompt names, or a learned function of the direction"
    )
    views: ViewSettings = ViewSettings()
    prompting: PromptSettings = PromptSettings()
    sds: SdsSettings = SdsSettings()
    optimiser: OptimiserSettings = OptimiserSettings(learning_rate=0.03, epsilon=1e-15)

    renamed: ClassVar[dict[str, str]] = DISTILLATION_NAMES | {"learning_rate": "optimiser.learning_rate"}


PRESETS = {
    "toy": {},
    "paper": merged(
        PAPER_DISTILLATION,
        {
            "steps": 5000,
            "resolution": 128,
            "supersampling": 1,
            "lookup": "nearest",
            "start": "red",
            "start_noise": 0.4,
            "background": "learned",
            "views": {"fov_deg": (60.0, 60.0)},
            "optimiser": {"learning_rate": 1e-2},
        },
    ),
}
KINDS = DISTILLATION_KINDS
INPUTS = {"mesh": UV_MESH, "prompt": PROMPT, "prior": PRIOR, "concept": CONCEPT}
OPTIONAL_INPUTS = frozenset({"concept"})
OUTPUT = LATENT_TEXTURE
