"""Latent-NeRF's first stage: a radiance field of latents, made from a sentence by score distillation.

Metzer et al. 2023, section 3.1: the field renders latents directly, at the size at which the prior denoises, so neither
encoder nor decoder takes part. Each step renders views, noises them, asks the prior which noise it sees, and moves the
field by w(t) (eps_hat - eps). Two terms keep it an object: entropy (rays are empty or solid) and sparsity. With a rough
shape (section 3.3, Sketch-Shape) a third draws its occupancy towards the shape's.
"""

from typing import Literal

from pydantic import Field

from stages.artifacts import CONCEPT, FIELD, PRIOR, PROMPT, SHAPE_GUIDE
from stages.contract.parameters import PAPER_VIEWS, GuidedParams, Range, Resolution


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(300, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.003, gt=0, le=1, description="of networks; grids take ten times as much")
    n_samples: int = Field(48, ge=4, le=2048, description="samples along a ray", json_schema_extra={"unit": "samples"})
    encoding: Literal["dense", "tiled"] = Field(
        "dense", description="dense grids (fast on a CPU) or the paper's tiled ones"
    )
    grid_resolutions: tuple[Resolution, ...] = Field(
        (17, 33), min_length=1, description="nodes along an axis of each dense grid"
    )
    hidden: int = Field(
        0, ge=0, le=1024, description="width of the network after the grid; 0: the grid holds the values"
    )
    density_bias: float = Field(-2.0, ge=-20, le=20, description="added to the density's logit everywhere")
    blob_density: float = Field(5.0, ge=0, le=50, description="height of the blob the field starts as, on the logit")
    blob_radius: float = Field(
        0.4, gt=0, le=2, description="its standard deviation", json_schema_extra={"unit": "world units"}
    )
    ball_radius: float = Field(
        1.2, gt=0, le=2, description="nothing exists farther out", json_schema_extra={"unit": "world units"}
    )
    background: Literal["named", "learned"] = Field(
        "named", description="flat white, grey or black that the prompt names, or a learned function of the direction"
    )
    entropy_weight: float = Field(0.01, ge=0, description="weight of the rays' opacity entropy in bits")
    sparsity_weight: float = Field(0.1, ge=0, description="weight of the mean opacity")
    regulariser_ramp: Range = Field(
        (0.1, 0.5), description="when both begin to rise and are at full weight", json_schema_extra={"unit": "of steps"}
    )
    shape_weight: float = Field(
        20.0, ge=0, description="weight of the difference to the rough shape, where one is given (mean over samples)"
    )
    proximal_surface: float = Field(
        0.1,
        ge=0,
        le=2,
        description="how far from the shape's surface it begins to bind; 0: everywhere alike",
        json_schema_extra={"unit": "world units"},
    )


# The paper's entropy weight of 5e-4 stood beside a *summed* SDS of 4 x 64 x 64 elements, and was in effect multiplied
# by the mixed-precision loss scale of about 65,536 (later more): 5e-4 * 65,536 / 16,384 = 0.002 beside our mean.
PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "steps": 5000,
        "learning_rate": 1e-3,
        "n_samples": 512,
        "encoding": "tiled",
        "hidden": 64,
        "density_bias": 0.0,
        "blob_density": 5.0,
        "blob_radius": 0.2,
        "ball_radius": 1.75,
        "background": "learned",
        "entropy_weight": 0.002,
        "sparsity_weight": 0.0,
        "regulariser_ramp": (0.0, 0.0),
        # 5e-6, summed over the samples, times 65,536 / 16,384 as above, for 64 x 64 rays of 512 samples
        "shape_weight": 40.0,
        "proximal_surface": 0.3,
    },
}
INPUTS = {
    "prompt": PROMPT,
    "prior": PRIOR,
    "shape": SHAPE_GUIDE,
    "concept": CONCEPT,
}
OPTIONAL_INPUTS = frozenset({"shape", "concept"})
OUTPUT = FIELD
