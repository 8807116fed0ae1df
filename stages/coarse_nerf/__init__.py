"""Latent-NeRF's first stage: a radiance field of latents, made from a sentence by score distillation.

Metzer et al. 2023, section 3.1: the field renders latents directly, at the size at which the prior denoises, so neither
encoder nor decoder takes part. Each step renders views, noises them, asks the prior which noise it sees, and moves the
field by w(t) (eps_hat - eps). Two terms keep it an object: entropy (rays are empty or solid) and sparsity. With a rough
shape (section 3.3, Sketch-Shape) a third draws its occupancy towards the shape's.

With `kind=splats` it makes Gaussian splats in colour instead (DreamGaussian, Tang et al. 2023), which `splats` sets up:
they begin at random in a ball, and whole images of them are encoded with gradient.

A joint-view prior of the same autoencoder can take the prior's place in the distillation (MVDream, Shi et al. 2023): it
sees all views of a step together, so no second front grows.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from prior3d.settings import Samples, Steps
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings, VsdLoss
from prior3d.settings.distilled_splats import DistilledSplatSettings
from prior3d.settings.optimisation import FieldSettings, OptimiserSettings
from prior3d.settings.refresh import ObjectCheckSettings, ShapeSettings, SurfaceSettings
from stages.artifacts import CONCEPT, FIELD, PRIOR, PROMPT, SHAPE_GUIDE
from stages.contract.parameters import EngineParams, merged
from stages.contract.presets import DISTILLATION_KINDS, DISTILLATION_NAMES, PAPER_DISTILLATION, paper_weight


class Params(EngineParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    kind: Literal["grid", "splats"] = Field(
        "grid", description="what is made: a field of latents on grids, or Gaussian splats in colour"
    )
    steps: Steps = Field(300, ge=1, le=100_000, description="optimisation steps")
    n_samples: Samples = Field(48, ge=4, le=2048, description="samples along a ray")
    background: Literal["named", "learned"] = Field(
        "named", description="flat white, grey or black that the prompt names, or a learned function of the direction"
    )
    views: ViewSettings = ViewSettings()
    prompting: PromptSettings = PromptSettings()
    sds: SdsSettings = SdsSettings()
    field: FieldSettings = FieldSettings()
    optimiser: OptimiserSettings = OptimiserSettings(learning_rate=0.003, epsilon=1e-15)
    surface: SurfaceSettings = SurfaceSettings(
        entropy_weight=0.01, distortion_weight=0.0, sparsity_weight=0.1, smoothness_weight=0.0, ramp=(0.1, 0.5)
    )
    shape: ShapeSettings = ShapeSettings()
    check: ObjectCheckSettings = ObjectCheckSettings()
    splats: DistilledSplatSettings = DistilledSplatSettings()

    @model_validator(mode="after")
    def _what_splats_have(self) -> "Params":
        """Splats are one object, and have no density between their Gaussians."""
        if self.kind != "splats":
            return self
        loss = self.sds.loss
        if isinstance(loss, VsdLoss) and loss.particles > 1:
            raise ValueError(f"sds.loss.particles: found {loss.particles}, but kind=splats makes one; set it to 1")
        for name in ("distortion_weight", "smoothness_weight"):
            if getattr(self.surface, name) > 0:
                raise ValueError(f"surface.{name} is for kind grid, splats have no such loss; set it to 0")
        return self

    renamed: ClassVar[dict[str, str]] = DISTILLATION_NAMES | {
        "learning_rate": "optimiser.learning_rate",
        "encoding": "field.encoding",
        "grid_resolutions": "field.grid_resolutions",
        "hidden": "field.hidden",
        "density_bias": "field.density_bias",
        "blob_density": "field.blob_density",
        "blob_radius": "field.blob_radius",
        "ball_radius": "field.ball_radius",
        "entropy_weight": "surface.entropy_weight",
        "sparsity_weight": "surface.sparsity_weight",
        "regulariser_ramp": "surface.ramp",
        "shape_weight": "shape.weight",
        "proximal_surface": "shape.proximal_surface",
    }


PRESETS = {
    "toy": {},
    "paper": merged(
        PAPER_DISTILLATION,
        {
            "steps": 5000,
            "n_samples": 512,
            "background": "learned",
            "field": {
                "encoding": "tiled",
                "hidden": 64,
                "density_bias": 0.0,
                "blob_density": 5.0,
                "blob_radius": 0.2,
                "ball_radius": 1.75,
                "near_plane": 0.2,
                "occupancy_resolution": 128,
                "occupied_samples": 64,
            },
            "optimiser": {"learning_rate": 1e-3},
            "surface": {
                "entropy_weight": paper_weight("latent-nerf entropy"),
                "sparsity_weight": 0.0,
                "ramp": (0.0, 0.0),
            },
            "shape": {"weight": paper_weight("sketch-shape shape"), "proximal_surface": 0.3},
        },
    ),
}
# What a kind brings with it: DreamGaussian's released values for a prompt, but for densification, which is MCMC's here,
# and the centres' learning rate, which stays.
KINDS = DISTILLATION_KINDS | {
    "": {
        "toy": {"splats": {}},
        "paper": {
            "splats": {
                "steps": 500,
                "sds": {"timestep_schedule": "linear", "weighting": "one_minus_alpha", "image_size": 512},
                "views": {"radius": (2.5, 2.5), "fov_deg": (49.1, 49.1), "elevation_deg": (-30.0, 30.0)},
                "background": "named",
                "surface": {"entropy_weight": 0.0},
                "splats": {
                    "n_splats": 5000,
                    "rates": {"means": 1e-3, "scales": 5e-3, "sh0": 1e-2},
                },
            },
        },
    },
}
INPUTS = {"prompt": PROMPT, "prior": PRIOR, "joint_prior": PRIOR, "shape": SHAPE_GUIDE, "concept": CONCEPT}
OPTIONAL_INPUTS = frozenset({"joint_prior", "shape", "concept"})
OUTPUT = FIELD
