"""RealFusion's reconstruction: a radiance field in colour that is the picture from one side and the prior's from all.

Melas-Kyriazi et al. 2023, section 3: in every step the field is held to the picture's colours and outline from its own
camera, and score distillation, with the picture's own word in the prompt, judges views from all round. Regularisers:
orientation, normals that are smooth in the views, entropy, and fine grids that come in late (coarse to fine).
Then, not in the paper, `remake_steps` fit the field to views that the prior re-made from it (as rgb_refinement does),
still beside the picture: this turns the distillation's fog into a surface. 0 leaves the paper's form.
"""

from typing import Annotated, Literal

from pydantic import Field

from stages.artifacts import CONCEPT, FIELD, OBJECT_IMAGE, PRIOR, PROMPT
from stages.contract.parameters import PAPER_VIEWS, GuidedParams, Resolution


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    prompt: str = Field("a {}", max_length=500, description="the object in words; {} is the concept's word, or generic")
    generic: str = Field("thing", max_length=100, description="stands for {} where there is no concept")
    steps: int = Field(70, ge=0, le=100_000, description="steps of distillation", json_schema_extra={"unit": "steps"})
    remake_steps: int = Field(
        150, ge=0, le=100_000, description="steps on re-made views after these", json_schema_extra={"unit": "steps"}
    )
    learning_rate: float = Field(0.01, gt=0, le=1, description="of networks; grids take ten times as much")
    adam_epsilon: float = Field(1e-6, gt=0, le=1, description="gradients far below it hardly move a value")
    n_samples: int = Field(48, ge=4, le=2048, description="samples along a ray", json_schema_extra={"unit": "samples"})
    sds_weight: float = Field(1.0, ge=0, description="weight of the score distillation; 0 leaves the prior out")
    sds_size: int = Field(
        32, ge=8, le=1024, description="side of the distilled renders", json_schema_extra={"unit": "pixels"}
    )
    reference_weight: float = Field(2.0, ge=0, description="weight of the picture's colours (Huber)")
    mask_weight: float = Field(1.0, ge=0, description="weight of the opacity's difference to outlines")
    reference_rays: int = Field(1024, ge=16, le=262_144, description="rays of the picture a step")
    mirror_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of the picture's mirror image beside it, for things whose left and right are alike; 0: none",
    )
    mirror_agreement: float = Field(
        0.8,
        ge=0,
        le=1,
        description="the mirror image stays beside re-made views if the field's outline overlaps its own by this (IoU)",
    )
    front_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Make-It-3D: views come from about the picture's side at first, this long",
        json_schema_extra={"unit": "of steps"},
    )
    front_width_deg: float = Field(
        90.0, gt=0, le=360, description="how far apart they then may be", json_schema_extra={"unit": "degrees"}
    )
    opinion_weight: float = Field(
        0.0, ge=0, description="Make-It-3D: weight of a scorer's opinion of views beside the picture and the prompt"
    )
    clip_d_weight: float = Field(
        0.0, ge=0, description="Make-It-3D: the same of what the prior makes of views with little noise (CLIP-D)"
    )
    clip_d_below: float = Field(
        0.4, ge=0, le=1, description="noise level of CLIP-D and below", json_schema_extra={"unit": "of T"}
    )
    depth_weight: float = Field(0.0, ge=0, description="weight of 1 - Pearson's correlation with the picture's depth")
    orientation_weight: float = Field(0.02, ge=0, description="weight of visible normals that look away")
    normal_weight: float = Field(0.2, ge=0, description="weight of the views' normals against their own blur")
    entropy_weight: float = Field(0.02, ge=0, description="weight of the rays' opacity entropy in bits")
    distortion_weight: float = Field(2.0, ge=0, description="re-made views: gathers a ray's weight in one place")
    smoothness_weight: float = Field(1.0, ge=0, description="weight of the field's total variation")
    fine_from: float = Field(
        0.5, ge=0, le=1, description="when the finer half of the grids comes in", json_schema_extra={"unit": "of steps"}
    )
    encoding: Literal["dense", "tiled"] = Field("dense", description="dense grids, or the paper's tiled ones")
    grid_resolutions: tuple[Resolution, ...] = Field((17, 33, 65), min_length=1, description="nodes of dense grids")
    density_bias: float = Field(-2.0, ge=-20, le=20, description="added to the density's logit everywhere")
    blob_density: float = Field(5.0, ge=0, le=50, description="height of the blob at the start, on the logit")
    blob_radius: float = Field(0.4, gt=0, le=2, description="its deviation", json_schema_extra={"unit": "world units"})
    ball_radius: float = Field(1.2, gt=0, le=2, description="extent", json_schema_extra={"unit": "world units"})
    as_released: bool = Field(
        False,
        description="RealFusion's code, not its paper: in nine of ten steps the prompt names the front view wherever "
        "the camera is, and the rays' origins and directions are shaken by 0.02",
    )
    n_views: int = Field(20, ge=4, le=400, description="re-made views")
    rays_per_step: int = Field(2048, ge=64, le=262_144, description="rays of re-made views a step")
    noise_levels: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.5, 0.35, 0.2), min_length=1, description="noise level of each re-making, in turn"
    )
    denoising_steps: int = Field(6, ge=1, le=1000, description="DDIM steps from the noise level down")
    remade_weight: float = Field(1.0, ge=0, description="weight of re-made views beside the picture")


# The paper's weights stood beside a *summed* SDS of 4 x 64 x 64 elements and were in effect multiplied by the
# mixed-precision loss scale of about 65,536: 65,536 / 16,384 = 4 times as much beside our mean-normalised SDS.
PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "prompt": "A high-resolution DSLR image of a {}",
        "weighting": "one_minus_alpha",
        "elevation_deg": (-30.0, 90.0),
        "steps": 5000,
        "remake_steps": 0,
        "learning_rate": 1e-3,
        "adam_epsilon": 1e-15,
        "n_samples": 512,
        "sds_size": 96,
        "reference_weight": 20.0,
        "mask_weight": 2.0,
        "reference_rays": 4096,
        "orientation_weight": 0.04,
        "normal_weight": 2.0,
        "entropy_weight": 4e-4,
        "smoothness_weight": 0.0,
        "encoding": "tiled",
        "density_bias": 0.0,
        "blob_radius": 0.2,
        "ball_radius": 1.75,
    },
}
INPUTS = {
    "image": OBJECT_IMAGE,
    "prior": PRIOR,
    "concept": CONCEPT,
    "prompt": PROMPT,
    "scorer": PRIOR,
}
OPTIONAL_INPUTS = frozenset({"concept", "prompt", "scorer"})
OUTPUT = FIELD
