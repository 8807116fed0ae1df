"""What several stages' presets share, and the names that their parameters had before they were grouped."""

from typing import Any

# Latent-NeRF's released values, section 4.1 of the paper for the guidance scale
PAPER_DISTILLATION: dict[str, Any] = {
    "sds": {"guidance_scale": 100.0, "weighting": "sqrt_alpha_one_minus_alpha"},
    "views": {
        "per_step": 1,
        "elevation_deg": (-60.0, 90.0),  # theta 0..150 degrees from the top
        "radius": (1.0, 1.5),
        "fov_deg": (40.0, 70.0),
    },
    "prompting": {"front_deg": 70.0},
}
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
