"""SparseFusion's distillation: one field that shows the input views, and elsewhere what the views prior finds likely.

Every step looks at rays of the input views, which always count fully, and of a ring of cameras between them. At first
the ring shows the feature transformer's own images and masks. After a third of the steps some of its views are
refreshed now and then: the field is rendered, noised to a random level and denoised by the diffusion model in several
steps without guidance. The result replaces the old image, with weight 1 - ᾱ of its noise level (Zhou and Tulsiani 2023,
section 3.3). The paper denoises a render in every step and forgets it; keeping it for later steps costs far less, and a
step then sees rays of the whole ring. The gradient passes through the render alone. The ring counts as far as the prior
can be trusted, which `view_features` measured.

Views that a joint-view prior drew given the inputs can take the ring's place. They agree with each other, and are not
refreshed: they count if the prior knows the thing, which `captioning` measured.
"""

from typing import ClassVar

from pydantic import Field

from prior3d.settings import Steps
from prior3d.settings.reconstruction import FitSettings
from prior3d.settings.refresh import ObjectCheckSettings
from prior3d.settings.sparse_views import RingSettings
from stages.artifacts import CAPTION, DRAWN_VIEWS, FIELD, POSED_IMAGES, PRIOR, SYMMETRY, VIEW_FEATURES
from stages.contract.parameters import PriorParams
from stages.contract.presets import FIT_NAMES


class Params(PriorParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: Steps = Field(480, ge=1, le=100_000, description="optimisation steps")
    fit: FitSettings = FitSettings()
    ring: RingSettings = RingSettings()
    check: ObjectCheckSettings = ObjectCheckSettings()

    renamed: ClassVar[dict[str, str]] = FIT_NAMES | {
        "prior_weight": "ring.weight",
        "single_prior_weight": "ring.single_input_weight",
        "warm_up": "ring.warm_up",
        "noise_levels": "ring.strength_range",
        "denoising_steps": "ring.num_inference_steps",
        "refresh_every": "ring.refresh_every",
        "views_at_once": "ring.views_per_refresh",
        "keep_regression": "ring.regression_weight",
    }


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 3000,
        "fit": {
            "resolutions": (17, 33, 65, 129),
            "n_samples": 128,
            "rays_per_step": 16_384,
            "mask_weight": 1.0,
            "surface": {"entropy_weight": 0.0, "distortion_weight": 0.0, "smoothness_weight": 0.0},
            "optimiser": {"learning_rate": 5e-4, "decay_to": 1.0},
        },
        "ring": {
            "weight": 1.0,
            "single_input_weight": 1.0,
            "strength_range": (0.0, 1.0),
            "num_inference_steps": 50,
            "refresh_every": 1,
            "views_per_refresh": 1,
            "regression_weight": 0.0,
        },
    },
}
INPUTS = {
    "views": POSED_IMAGES,
    "symmetry": SYMMETRY,
    "features": VIEW_FEATURES,
    "caption": CAPTION,
    "drawn": DRAWN_VIEWS,
    "prior": PRIOR,
}
OPTIONAL_INPUTS = frozenset({"features", "caption", "drawn"})
OUTPUT = FIELD
