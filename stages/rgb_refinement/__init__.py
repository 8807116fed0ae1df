"""Latent-NeRF's second stage: the latent field becomes an RGB field with a surface.

The RGB field starts as the latent one through the linear latent-to-RGB map (Metzer et al. 2023, section 3.2). Then, by
`mode`:
- `sds`, the paper's: score distillation again, of RGB renders through the prior's encoder.
- `consistency`: the field is fitted to views and masks that the prior makes from it and refreshes a few times, which
  turns fog into surface.
Splats that coarse_nerf distilled have colours already. With `consistency` they are fitted to refreshed views in the
same way, with `sds` they stay as they are.

With a rough shape (Sketch-Shape) the field is held to it here too, at points all over the volume.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from prior3d.settings import Resolution, Samples, Steps
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings
from prior3d.settings.optimisation import OptimiserSettings
from prior3d.settings.refresh import ObjectCheckSettings, RefreshSettings, ShapeSettings, SurfaceSettings
from stages.artifacts import CONCEPT, FIELD, PRIOR, PROMPT, SHAPE_GUIDE
from stages.contract.parameters import EngineParams, merged
from stages.contract.presets import (
    DISTILLATION_NAMES,
    OPTIMISER_NAMES,
    PAPER_DISTILLATION,
    paper_weight,
)


class Params(EngineParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    mode: Literal["consistency", "sds"] = Field("consistency", description="fit refreshed views, or distil RGB renders")
    steps: Steps = Field(200, ge=1, le=100_000, description="optimisation steps")
    splat_steps: Steps = Field(
        600, ge=1, le=100_000, description="optimisation steps where splats are refined: each draws whole images"
    )
    n_samples: Samples = Field(48, ge=4, le=2048, description="samples along a ray")
    finer_resolutions: tuple[Resolution, ...] = Field(
        (65,), description="dense grids added for detail, nodes along an axis"
    )
    linear_map: Literal["fitted", "paper", "by_prior"] = Field(
        "fitted",
        description="latent-to-RGB map: fitted to this prior's decoder; the paper's, for Stable Diffusion's latents; "
        "by_prior: the paper's if the prior has these latents, else fitted",
    )
    background: Literal["named", "learned"] = Field(
        "named",
        description="mode sds: flat white, grey or black that the prompt may name, or a learned function of the "
        "direction",
    )
    views: ViewSettings = ViewSettings()
    prompting: PromptSettings = PromptSettings()
    sds: SdsSettings = SdsSettings()
    refresh: RefreshSettings = RefreshSettings()
    optimiser: OptimiserSettings = OptimiserSettings(learning_rate=0.01, decay_from=0.6, decay_to=0.05)
    surface: SurfaceSettings = SurfaceSettings()
    shape: ShapeSettings = ShapeSettings(weight=5.0)
    check: ObjectCheckSettings = ObjectCheckSettings()

    @model_validator(mode="after")
    def _distils_by_sds(self) -> "Params":
        """Other losses would put all their files into this stage's key, which its usual mode does not use."""
        if self.sds.loss.kind != "sds":
            raise ValueError(
                f"sds.loss.kind: found {self.sds.loss.kind}, but this stage distils by sds alone; set it in "
                "coarse_nerf, latent_paint, texture_refinement or image_nerf"
            )
        return self

    renamed: ClassVar[dict[str, str]] = (
        DISTILLATION_NAMES
        | OPTIMISER_NAMES
        | {
            "image_size": "sds.image_size",
            "n_views": "refresh.n_views",
            "rays_per_step": "refresh.rays_per_step",
            "noise_levels": "refresh.strengths",
            "denoising_steps": "refresh.num_inference_steps",
            "mask_weight": "refresh.mask_weight",
            "entropy_weight": "surface.entropy_weight",
            "distortion_weight": "surface.distortion_weight",
            "sparsity_weight": "surface.sparsity_weight",
            "smoothness_weight": "surface.smoothness_weight",
            "regulariser_ramp": "surface.ramp",
            "shape_weight": "shape.weight",
            "proximal_surface": "shape.proximal_surface",
        }
    )


PRESETS = {
    "toy": {},
    "paper": merged(
        PAPER_DISTILLATION,
        {
            "mode": "sds",
            "steps": 5000,
            "n_samples": 512,
            "finer_resolutions": (),
            "linear_map": "by_prior",
            "background": "learned",
            "sds": {"image_size": 128, "views_at_once": 1},
            "optimiser": {"learning_rate": 1e-3, "decay_to": 1.0, "epsilon": 1e-15},
            "surface": {
                "entropy_weight": paper_weight("latent-nerf entropy"),
                "distortion_weight": 0.0,
                "smoothness_weight": 0.0,
                "ramp": (0.0, 0.0),
            },
            "shape": {"weight": paper_weight("sketch-shape shape"), "proximal_surface": 0.3},
        },
    ),
}
INPUTS = {"field": FIELD, "prompt": PROMPT, "prior": PRIOR, "shape": SHAPE_GUIDE, "concept": CONCEPT}
OPTIONAL_INPUTS = frozenset({"shape", "concept"})
OUTPUT = FIELD
