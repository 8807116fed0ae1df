"""A radiance field in colour that is the given image from one side and plausible to the prior from all sides.

Melas-Kyriazi et al. 2023 (RealFusion), section 3: in every step the field is held to the image's colours and outline
from the image's own camera, and score distillation judges views from all around, with the image's own word in the
prompt. Regularisers: orientation, normals that are smooth in the views, entropy, and fine grids that come in late.
Make-It-3D (Tang et al. 2023), section 3.2, adds views from the front first, depth, and a scorer's judgement.
Then, beyond both papers, `refreshing.steps` fit the field to views that the prior makes from it and refreshes, still
beside the image: this turns the distillation's fog into a surface.

Views that a joint-view prior drew given the image (`drawn`) show the sides that it does not show: rays of them are
fitted beside those of the image, in every step. From a field that was fitted to them (`start`) only the steps of
`reference.unseen` follow. A field that is the symmetric completion of the image, because that prior does not know the
thing, stays as it is. With `field.start=completion` it is made here.
"""

from typing import ClassVar, Literal

from pydantic import Field

from prior3d.settings import Samples, Steps
from prior3d.settings.distillation import SdsSettings, ViewSettings
from prior3d.settings.optimisation import OptimiserSettings
from prior3d.settings.refresh import ObjectCheckSettings, RefreshSettings, SurfaceSettings
from prior3d.settings.single_image import (
    ClipSettings,
    FrontFirstSettings,
    ImageFieldSettings,
    ImagePromptSettings,
    ImageRefreshSettings,
    MirrorSettings,
    NormalSettings,
    ReferenceSettings,
)
from stages.artifacts import CONCEPT, DRAWN_VIEWS, FIELD, OBJECT_IMAGE, PRIOR, PROMPT
from stages.contract.parameters import EngineParams, merged
from stages.contract.presets import (
    DISTILLATION_KINDS,
    DISTILLATION_NAMES,
    OPTIMISER_NAMES,
    PAPER_DISTILLATION,
    REALFUSION_VIEWS,
    paper_weight,
)


class Params(EngineParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: Steps = Field(70, ge=0, le=100_000, description="steps of distillation")
    n_samples: Samples = Field(48, ge=4, le=2048, description="samples along a ray")
    background: Literal["named", "learned"] = Field(
        "named",
        description="flat white, grey or black that the prompt may name, or a learned function of the direction",
    )
    reference: ReferenceSettings = ReferenceSettings()
    mirror: MirrorSettings = MirrorSettings()
    views: ViewSettings = ViewSettings()
    front_first: FrontFirstSettings = FrontFirstSettings()
    prompting: ImagePromptSettings = ImagePromptSettings()
    sds: SdsSettings = SdsSettings(image_size=32)
    clip: ClipSettings = ClipSettings()
    normals: NormalSettings = NormalSettings()
    surface: SurfaceSettings = SurfaceSettings(ramp=(0.2, 1.0))
    field: ImageFieldSettings = ImageFieldSettings(
        grid_resolutions=(17, 33, 65), tiled_log2_entries=16, tiled_finest=1536
    )
    refreshing: ImageRefreshSettings = ImageRefreshSettings()
    refresh: RefreshSettings = RefreshSettings(n_views=20, num_inference_steps=6, mask_weight=1.0)
    optimiser: OptimiserSettings = OptimiserSettings(learning_rate=0.01, decay_from=0.7, decay_to=0.05)
    check: ObjectCheckSettings = ObjectCheckSettings()

    renamed: ClassVar[dict[str, str]] = (
        DISTILLATION_NAMES
        | OPTIMISER_NAMES
        | {
            "prompt": "prompting.template",
            "generic": "prompting.generic",
            "fine_from": "field.fine_from",
            "remake_steps": "refreshing.steps",
            "remade_weight": "refreshing.weight",
            "n_views": "refresh.n_views",
            "rays_per_step": "refresh.rays_per_step",
            "noise_levels": "refresh.strengths",
            "denoising_steps": "refresh.num_inference_steps",
            "sds_weight": "sds.weight",
            "sds_size": "sds.image_size",
            "reference_weight": "reference.weight",
            "mask_weight": "reference.mask_weight",
            "reference_rays": "reference.rays_per_step",
            "depth_weight": "reference.depth_weight",
            "mirror_weight": "mirror.weight",
            "mirror_agreement": "mirror.min_iou",
            "front_share": "front_first.until",
            "front_width_deg": "front_first.width_deg",
            "opinion_weight": "clip.weight",
            "clip_d_weight": "clip.denoised_weight",
            "clip_d_below": "clip.denoised_max_timestep",
            "orientation_weight": "normals.orientation_weight",
            "normal_weight": "normals.smoothness_weight",
            "entropy_weight": "surface.entropy_weight",
            "distortion_weight": "surface.distortion_weight",
            "smoothness_weight": "surface.smoothness_weight",
            "encoding": "field.encoding",
            "grid_resolutions": "field.grid_resolutions",
            "density_bias": "field.density_bias",
            "blob_density": "field.blob_density",
            "blob_radius": "field.blob_radius",
            "ball_radius": "field.ball_radius",
            "as_released": "prompting.match_released_code",
            "match_released_code": "prompting.match_released_code",
        }
    )


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": merged(
        PAPER_DISTILLATION,
        {
            "prompting": {"template": "A high-resolution DSLR image of a {}"},
            "steps": 5000,
            "n_samples": 512,
            "views": REALFUSION_VIEWS | {"hemisphere": 0.5},
            "background": "learned",
            "sds": {"weighting": "one_minus_alpha", "image_size": 96, "views_at_once": 1},
            "reference": {
                "loss": "squared",
                "weight": paper_weight("realfusion colour"),
                "mask_weight": paper_weight("realfusion mask"),
                "rays_per_step": 4096,
                "entropy": False,
            },
            "normals": {
                "orientation_weight": paper_weight("realfusion orientation"),
                "smoothness_weight": paper_weight("realfusion normals"),
                "shading": {"starts_at": 0.2, "textureless": 0.4, "lambertian": 0.4},
            },
            "surface": {"entropy_weight": paper_weight("realfusion entropy"), "smoothness_weight": 0.0},
            "field": {
                "encoding": "tiled",
                "tiled_finest": 2048,  # 1536 in a box of 1.5 there
                "density_bias": 0.0,
                "blob_radius": 0.2,
                "ball_radius": 1.75,
                "near_plane": 0.2,
                "occupancy_resolution": 128,
                "occupied_samples": 64,
            },
            "refreshing": {"steps": 0},
            "optimiser": {"learning_rate": 1e-3, "epsilon": 1e-15, "decay_to": 1.0},
        },
    ),
}
KINDS = DISTILLATION_KINDS
INPUTS = {
    "image": OBJECT_IMAGE,
    "prior": PRIOR,
    "concept": CONCEPT,
    "prompt": PROMPT,
    "scorer": PRIOR,
    "drawn": DRAWN_VIEWS,
    "start": FIELD,
}
OPTIONAL_INPUTS = frozenset({"concept", "prompt", "scorer", "drawn", "start"})
OUTPUT = FIELD
