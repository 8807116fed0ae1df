"""Latent-NeRF's second stage: the latent field becomes an RGB field with a surface.

The RGB field starts as the latent one through the linear latent-to-RGB map (Metzer et al. 2023, section 3.2). Then, by
`mode`:
- `sds`, the paper's: score distillation again, of RGB renders through the prior's encoder.
- `consistency`: the field is fitted to views and masks that the prior made from it (see remade_views), which turns fog
  into surface.
With a rough shape (Sketch-Shape) the field is held to it here too, at points all over the volume.
"""

from typing import Annotated, Literal

from pydantic import Field

from stages.artifacts import CONCEPT, FIELD, PRIOR, PROMPT, SHAPE_GUIDE
from stages.contract.parameters import PAPER_VIEWS, GuidedParams, Range, Resolution


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    mode: Literal["consistency", "sds"] = Field("consistency", description="fit decoded views, or distil RGB renders")
    steps: int = Field(200, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.01, gt=0, le=1, description="of networks; grids take ten times as much")
    adam_epsilon: float = Field(
        1e-6, gt=0, le=1, description="gradients far below it hardly move a value; smaller ones leave colours speckled"
    )
    decay_from: float = Field(
        0.6, ge=0, le=1, description="when learning rates begin to fall", json_schema_extra={"unit": "of steps"}
    )
    decay_to: float = Field(0.05, gt=0, le=1, description="what they fall to by the end, as a fraction; 1 is no decay")
    n_samples: int = Field(48, ge=4, le=2048, description="samples along a ray", json_schema_extra={"unit": "samples"})
    finer_resolutions: tuple[Resolution, ...] = Field(
        (65,), description="dense grids added for detail, nodes along an axis"
    )
    linear_map: Literal["fitted", "paper"] = Field(
        "fitted", description="latent-to-RGB map: fitted to this prior's decoder, or the paper's for Stable Diffusion"
    )
    n_views: int = Field(24, ge=4, le=400, description="consistency: views that the field is fitted to")
    rays_per_step: int = Field(
        2048, ge=64, le=262_144, description="consistency: rays a step", json_schema_extra={"unit": "rays"}
    )
    noise_levels: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.5, 0.35, 0.2),
        min_length=1,
        description="consistency: noise level to which views are re-made, one for each time; 0 only decodes",
        json_schema_extra={"unit": "of T"},
    )
    denoising_steps: int = Field(8, ge=1, le=1000, description="consistency: DDIM steps from the noise level down")
    mask_weight: float = Field(0.5, ge=0, description="consistency: weight of the opacity's difference to the mask")
    image_size: int = Field(
        0, ge=0, le=1024, description="sds: size of renders; 0: the prior's", json_schema_extra={"unit": "pixels"}
    )
    entropy_weight: float = Field(0.02, ge=0, description="weight of the rays' opacity entropy in bits")
    distortion_weight: float = Field(
        2.0, ge=0, description="weight of the distortion, which gathers a ray's weight in one place"
    )
    sparsity_weight: float = Field(0.0, ge=0, description="weight of the mean opacity")
    smoothness_weight: float = Field(1.0, ge=0, description="weight of the field's total variation (surface, colours)")
    regulariser_ramp: Range = Field(
        (0.3, 1.0),
        description="when the three before that begin to rise and are at full weight",
        json_schema_extra={"unit": "of steps"},
    )
    shape_weight: float = Field(
        5.0, ge=0, description="weight of the difference to the rough shape, where one is given (mean over points)"
    )
    proximal_surface: float = Field(
        0.1,
        ge=0,
        le=2,
        description="how far from the shape's surface it begins to bind; 0: everywhere alike",
        json_schema_extra={"unit": "world units"},
    )


PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "mode": "sds",
        "steps": 5000,
        "learning_rate": 1e-3,
        "decay_to": 1.0,
        "adam_epsilon": 1e-15,
        "n_samples": 512,
        "finer_resolutions": (),
        "linear_map": "paper",
        "image_size": 128,
        "entropy_weight": 0.002,
        "distortion_weight": 0.0,
        "smoothness_weight": 0.0,
        "regulariser_ramp": (0.0, 0.0),
        "shape_weight": 40.0,  # as in coarse_nerf
        "proximal_surface": 0.3,
    },
}
INPUTS = {
    "field": FIELD,
    "prompt": PROMPT,
    "prior": PRIOR,
    "shape": SHAPE_GUIDE,
    "concept": CONCEPT,
}
OPTIONAL_INPUTS = frozenset({"shape", "concept"})
OUTPUT = FIELD
