"""Latent-Paint's texture: latents on a person's mesh, made from a sentence by score distillation.

Metzer et al. 2023, section 3.4: renders of the texture are latents at the size at which the prior denoises. Each step
renders views, noises them, asks the prior which noise it sees, and moves the texture by w(t) (eps_hat - eps).
"""

from typing import Literal

from pydantic import Field

from stages.artifacts import CONCEPT, LATENT_TEXTURE, PRIOR, PROMPT, UV_MESH
from stages.contract.parameters import PAPER_VIEWS, GuidedParams


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(150, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.03, gt=0, le=1, description="of the texture")
    resolution: int = Field(
        64, ge=8, le=1024, description="side of the latent texture", json_schema_extra={"unit": "texels"}
    )
    supersampling: int = Field(4, ge=1, le=16, description="samples along each side of a latent pixel")
    lookup: Literal["bilinear", "nearest"] = Field("bilinear", description="how a sample reads the texture")
    start: Literal["grey", "red"] = Field(
        "grey", description="grey as this prior encodes it, or the paper's red for Stable Diffusion; noise on top"
    )
    start_noise: float = Field(0.1, ge=0, le=10, description="standard deviation of the texture's noise at the start")
    background: Literal["named", "learned"] = Field(
        "named", description="flat white, grey or black that the prompt names, or a learned function of the direction"
    )


PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "fov_deg": (60.0, 60.0),
        "steps": 5000,
        "learning_rate": 1e-2,
        "resolution": 128,
        "supersampling": 1,
        "lookup": "nearest",
        "start": "red",
        "start_noise": 0.4,
        "background": "learned",
    },
}
INPUTS = {
    "mesh": UV_MESH,
    "prompt": PROMPT,
    "prior": PRIOR,
    "concept": CONCEPT,
}
OPTIONAL_INPUTS = frozenset({"concept"})
OUTPUT = LATENT_TEXTURE
