"""Latent-Paint's second stage: the latent texture becomes an RGB texture, refined, and the mesh is painted with it.

By `mode`:
- `sds`, the paper's: score distillation again, of RGB renders through the prior's encoder.
- `consistency`: the texture is fitted to views that the prior makes from it and refreshes a few times (SDEdit, Meng et
  al. 2022; dataset update, Haque et al. 2023). A view counts where it sees the surface squarely and the prior drew
  something there. Texels that no view shows take the colour of the nearest texel that some view shows.

In place of latents it takes paint: a texture in colour that an input image shows in part (Make-It-3D's second stage,
Tang et al. 2023). Refinement then starts from the paint, and keeps the part that the image shows. On the mesh of a
symmetric completion the prior changes nothing.
"""

from typing import ClassVar, Literal

from pydantic import Field

from prior3d.settings import Steps, Texels
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings
from prior3d.settings.optimisation import OptimiserSettings
from prior3d.settings.textures import AnchorSettings, TextureRefreshSettings
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
from stages.contract.parameters import EngineParams, merged
from stages.contract.presets import DISTILLATION_KINDS, DISTILLATION_NAMES, OPTIMISER_NAMES, PAPER_DISTILLATION


class Params(EngineParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    mode: Literal["consistency", "sds"] = Field("consistency", description="fit refreshed views, or distil RGB renders")
    steps: Steps = Field(120, ge=1, le=100_000, description="optimisation steps")
    resolution: Texels = Field(256, ge=16, le=4096, description="side of the texture")
    views: ViewSettings = ViewSettings()
    prompting: PromptSettings = PromptSettings()
    sds: SdsSettings = SdsSettings()
    refresh: TextureRefreshSettings = TextureRefreshSettings()
    anchors: AnchorSettings = AnchorSettings()
    optimiser: OptimiserSettings = OptimiserSettings(learning_rate=0.05, decay_from=0.6, decay_to=0.1)

    renamed: ClassVar[dict[str, str]] = (
        DISTILLATION_NAMES
        | OPTIMISER_NAMES
        | {
            "image_size": "sds.image_size",
            "supersampling": "refresh.supersampling",
            "n_views": "refresh.n_views",
            "noise_levels": "refresh.strengths",
            "denoising_steps": "refresh.num_inference_steps",
            "squareness": "refresh.view_angle_exponent",
            "smoothness_weight": "refresh.smoothness_weight",
            "anchor_weight": "anchors.paint_weight",
            "photograph_weight": "anchors.image_weight",
            "picture_steps": "anchors.image_steps",
        }
    )


PRESETS = {
    "toy": {},
    "paper": merged(
        PAPER_DISTILLATION,
        {
            "mode": "sds",
            "steps": 5000,
            "resolution": 1024,
            "views": {"fov_deg": (60.0, 60.0)},
            "sds": {"views_at_once": 1},
            "optimiser": {"learning_rate": 1e-2, "decay_to": 1.0, "epsilon": 1e-15},
            "refresh": {"smoothness_weight": 0.0},
        },
    ),
}
KINDS = DISTILLATION_KINDS
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
