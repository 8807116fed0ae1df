"""Latent-Paint's second stage: the latent texture becomes an RGB texture, refined, and the mesh is painted with it.

By `mode`:
- `sds`, the paper's: score distillation again, of RGB renders through the prior's encoder.
- `consistency`: the texture is fitted to views that the prior makes from it. They are rendered over the flat background
  that the object stands out from, noised, and denoised with their camera and text (SDEdit, Meng et al. 2022); then they
  are made anew from what was fitted (the dataset update of Instruct-NeRF2NeRF, Haque et al. 2023). The mesh is known,
  so its pixels are too, and a view counts where it looks at the surface squarely and shows something there. What no
  view tells takes the colour of the nearest surface that one does.

In place of latents it may be given paint, a texture in colour of which a photograph showed a part (Make-It-3D's
second stage, Tang et al. 2023). Refinement then begins there, and what the photograph showed is held.
"""

from typing import Annotated, Literal

from pydantic import Field

from stages.artifacts import (
    CONCEPT,
    LATENT_TEXTURE,
    OBJECT_IMAGE,
    PAINTABLE_MESH,
    PARTIAL_TEXTURE,
    PRIOR,
    PROMPT,
    TEXTURED_MESH,
)
from stages.contract.parameters import PAPER_VIEWS, GuidedParams


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    mode: Literal["consistency", "sds"] = Field("consistency", description="fit decoded views, or distil RGB renders")
    steps: int = Field(120, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.05, gt=0, le=1, description="of the texture, whose values are colours in [0, 1]")
    adam_epsilon: float = Field(
        1e-6, gt=0, le=1, description="gradients far below it hardly move a value; smaller ones leave colours speckled"
    )
    decay_from: float = Field(
        0.6, ge=0, le=1, description="when learning rates begin to fall", json_schema_extra={"unit": "of steps"}
    )
    decay_to: float = Field(0.1, gt=0, le=1, description="what they fall to by the end, as a fraction; 1 is no decay")
    resolution: int = Field(
        256, ge=16, le=4096, description="side of the texture", json_schema_extra={"unit": "texels"}
    )
    supersampling: int = Field(3, ge=1, le=16, description="samples along each side of a pixel")
    n_views: int = Field(24, ge=4, le=400, description="consistency: views that the texture is fitted to")
    noise_levels: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.7, 0.5, 0.3),
        min_length=1,
        description="consistency: noise level to which views are re-made, one for each time; 0 only decodes",
        json_schema_extra={"unit": "of T"},
    )
    denoising_steps: int = Field(8, ge=1, le=1000, description="consistency: DDIM steps from the noise level down")
    squareness: float = Field(
        2.0, ge=0, le=10, description="consistency: power of the cosine to the surface's normal that weighs a pixel"
    )
    smoothness_weight: float = Field(0.5, ge=0, description="weight of the differences between neighbouring texels")
    anchor_weight: float = Field(4.0, ge=0, description="paint: weight of its photographed texels staying as they are")
    photograph_weight: float = Field(
        4.0, ge=0, description="paint: weight of the photograph's pixels, seen from its camera"
    )
    picture_steps: int = Field(
        20,
        ge=0,
        le=1000,
        description="paint: steps that at last fit what the photograph's camera sees to its pixels; 0: none",
        json_schema_extra={"unit": "steps"},
    )
    image_size: int = Field(
        0, ge=0, le=1024, description="size of renders; 0: the prior's", json_schema_extra={"unit": "pixels"}
    )


PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "fov_deg": (60.0, 60.0),
        "mode": "sds",
        "steps": 5000,
        "learning_rate": 1e-2,
        "decay_to": 1.0,
        "adam_epsilon": 1e-15,
        "resolution": 1024,
        "smoothness_weight": 0.0,
    },
}
INPUTS = {
    "mesh": PAINTABLE_MESH,
    "texture": LATENT_TEXTURE,
    "paint": PARTIAL_TEXTURE,
    "image": OBJECT_IMAGE,
    "prompt": PROMPT,
    "prior": PRIOR,
    "concept": CONCEPT,
}
OPTIONAL_INPUTS = frozenset({"texture", "paint", "image", "prompt", "concept"})
OUTPUT = TEXTURED_MESH
