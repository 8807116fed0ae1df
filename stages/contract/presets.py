"""What several presets share: the papers' weights and cameras, and the names that parameters had before."""

from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]
SDS_ELEMENTS = 4 * 64 * 64  # of a latent: the papers' score distillation is a sum over them, ours is divided by them
LOSS_SCALE = 65_536  # at which mixed precision's scaling of losses begins in torch; it may double later
SHAPE_SAMPLES = 64 * 64 * 512  # of a step: Sketch-Shape sums over them, our loss is a mean


@dataclass(frozen=True)
class PaperWeight:
    """A weight of released code, and what it is beside score distillation that is a mean.

    Attributes:
        released: as the code has it.
        loss_scale: what mixed precision multiplied this loss by, but not score distillation, whose gradient the code
            passes around the scaler; 1 where the code runs in single precision.
        n_summed: how many elements the code adds up where our loss is their mean.
    """

    released: float
    loss_scale: int = 1
    n_summed: int = 1

    @property
    def here(self) -> float:
        """The weight in our presets."""
        return self.released * self.loss_scale * self.n_summed / SDS_ELEMENTS


def merged(base: Values, changes: Values) -> Values:
    """Values of `base` with `changes` over them; groups are merged key by key.

    A group of another `kind` is another group: nothing of the one before it stays.
    """
    found = dict(base)
    for key, value in changes.items():
        before = found.get(key)
        if isinstance(before, dict) and isinstance(value, dict) and _same_kind(before, value):
            found[key] = merged(before, value)
        else:
            found[key] = value
    return found


def _same_kind(group: Values, changes: Values) -> bool:
    """Whether changes of a group leave it of the kind that it is of."""
    return bool(changes.get("kind", group.get("kind")) == group.get("kind"))


# By method and term. Latent-NeRF and RealFusion run in mixed precision, Make-It-3D in single precision.
PAPER_WEIGHTS: dict[str, PaperWeight] = {
    "latent-nerf entropy": PaperWeight(5e-4, LOSS_SCALE),
    "sketch-shape shape": PaperWeight(5e-6, LOSS_SCALE, SHAPE_SAMPLES),
    "realfusion colour": PaperWeight(5.0, LOSS_SCALE),
    "realfusion mask": PaperWeight(0.5, LOSS_SCALE),
    "realfusion entropy": PaperWeight(1e-4, LOSS_SCALE),
    "realfusion orientation": PaperWeight(1e-2, LOSS_SCALE),
    "realfusion normals": PaperWeight(0.5, LOSS_SCALE),
    "make-it-3d colour": PaperWeight(1000.0),
    "make-it-3d depth": PaperWeight(1.0),
    "make-it-3d clip": PaperWeight(1.0),
    "make-it-3d clip-d": PaperWeight(10.0),
    "make-it-3d entropy": PaperWeight(10.0),
    "make-it-3d orientation": PaperWeight(0.11),
    "make-it-3d gradient": PaperWeight(5.0),  # the length that its optimiser, Adan, cuts gradients to
}


def paper_weight(name: str) -> float:
    """A paper's weight beside score distillation that is a mean."""
    return PAPER_WEIGHTS[name].here


# Latent-NeRF's released values, section 4.1 of the paper for the guidance scale
PAPER_DISTILLATION: dict[str, Any] = {
    "sds": {"guidance_scale": 100.0, "weighting": "sqrt_alpha_one_minus_alpha", "elements": SDS_ELEMENTS},
    "views": {
        "per_step": 1,
        "elevation_deg": (-60.0, 90.0),  # theta 0..150 degrees from the top
        "radius": (1.0, 1.5),
        "fov_deg": (40.0, 70.0),
    },
    "prompting": {"front_deg": 70.0},
}
# The cameras of Latent-NeRF see 0.65 up and down from the middle on average, those of the toy world 1.16: objects are
# as much smaller. From this far evaluation shows them as large as it shows others.
PAPER_EVALUATION: dict[str, Any] = {"evaluation": {"radius": 1.8}}
REALFUSION_VIEWS: dict[str, Any] = {"radius": (1.0, 1.5), "fov_deg": (40.0, 70.0), "elevation_deg": (-30.0, 90.0)}

# Make-It-3D's cameras stand 1 to 1.5 from an object of radius 0.13. Here the image is placed as everywhere (its frame
# is 2.33 wide, the object's radius about 0.87), and what is a length there is longer by so much.
MAKE_IT_3D_SCALE = 2.3294 / 0.35265
MAKE_IT_3D_VIEWS: dict[str, Any] = {
    "radius": (MAKE_IT_3D_SCALE, 1.5 * MAKE_IT_3D_SCALE),
    "fov_deg": (15.0, 25.0),
    "elevation_deg": (-20.0, 20.0),
}
# Make-It-3D's second stage: its guidance is written text + 5 (text - null), which is 6 in the usual form
MAKE_IT_3D_TEXTURE: dict[str, Any] = {
    "mode": "sds",
    "steps": 3000,
    "sds": {
        "guidance_scale": 6.0,
        "timestep_min": 0.2,
        "timestep_max": 0.6,
        "timestep_max_end": 0.6,
        "weighting": "one_minus_alpha",
    },
}
# What `sds.loss.kind` brings with it, by preset: values of the `sds` group that suit the loss. `paper` has the papers'
# own for Stable Diffusion; LucidDreamer's highest noise level falls over its first 1,500 of 5,000 steps, here over all.
# The weights of `toy` give each loss about the gradient that SDS has at the start, beside the same regularisers.
DISTILLATION_LOSSES: dict[str, dict[str, Values]] = {
    "toy": {
        "sds": {},
        "csd": {"guidance_scale": 10.0, "weight": 0.3},
        "ism": {"guidance_scale": 7.5, "weighting": "noise_to_signal", "weight": 0.1},
        "vsd": {"guidance_scale": 3.0, "loss": {"rank": 8}},
        "x0": {"guidance_scale": 5.0, "weighting": "constant", "weight": 0.3, "timestep_max_end": 0.5},
    },
    "paper": {
        "sds": {},
        "csd": {"guidance_scale": 100.0, "weighting": "one_minus_alpha"},
        "ism": {"guidance_scale": 7.5, "weighting": "noise_to_signal", "timestep_max_end": 0.5},
        "vsd": {
            "guidance_scale": 7.5,
            "weighting": "one_minus_alpha",
            "loss": {"learning_rate": 1e-4, "recompute": True},
        },
        "x0": {"guidance_scale": 50.0, "weighting": "constant"},
    },
}
DISTILLATION_KINDS = {"sds.loss": {p: {k: {"sds": v} for k, v in d.items()} for p, d in DISTILLATION_LOSSES.items()}}
DISTILLATION_NAMES = {
    "guidance_scale": "sds.guidance_scale",
    "timestep_min": "sds.timestep_min",
    "timestep_max": "sds.timestep_max",
    "timestep_max_end": "sds.timestep_max_end",
    "weighting": "sds.weighting",
    "views_per_step": "views.per_step",
    "azimuth_deg": "views.azimuth_deg",
    "elevation_deg": "views.elevation_deg",
    "radius": "views.radius",
    "fov_deg": "views.fov_deg",
    "negative_prompt": "prompting.negative_prompt",
    "view_words": "prompting.view_words",
    "front_deg": "prompting.front_deg",
    "overhead_deg": "prompting.overhead_deg",
    "camera_conditioning": "prompting.camera_conditioning",
}
OPTIMISER_NAMES = {
    "learning_rate": "optimiser.learning_rate",
    "adam_epsilon": "optimiser.epsilon",
    "decay_from": "optimiser.decay_from",
    "decay_to": "optimiser.decay_to",
}
FIT_NAMES = {
    "learning_rate": "fit.optimiser.learning_rate",
    "resolutions": "fit.resolutions",
    "n_samples": "fit.n_samples",
    "rays_per_step": "fit.rays_per_step",
    "mask_weight": "fit.mask_weight",
    "entropy_weight": "fit.surface.entropy_weight",
    "distortion_weight": "fit.surface.distortion_weight",
    "sparsity_weight": "fit.surface.sparsity_weight",
    "smoothness_weight": "fit.surface.smoothness_weight",
    "ramp": "fit.surface.ramp",
}
