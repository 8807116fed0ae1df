"""A captured scene edited by an instruction: its images are replaced one by one while the field is fitted to them.

Haque et al. 2023, Instruct-NeRF2NeRF, section 3.2: every few steps the current field is rendered from one camera.
InstructPix2Pix noises this render to a random level and denoises it, given the instruction and the original image. The
result replaces that image in the dataset. The other variants are the paper's comparisons (section 4).

By default the edits of all images are averaged over the surfaces they show before the field is fitted to them. They
are kept where they are strong and agree (`consensus`), because a weak prior is right on average only. `relevance`
restricts an edit to the part that the instruction concerns (Mirzaei et al. 2023).

Where scene_fit made Gaussian splats, these are fitted in place of a grid, with the parameters under `splats`: all
images are edited in turn, the splats are fitted to them, and so on (Instruct-GS2GS, Vachha and Haque 2024).
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from prior3d.settings import Steps
from prior3d.settings.edited_splats import EditedSplatSettings
from prior3d.settings.scene_edits import ConsensusSettings, RelevanceSettings, ViewEditSettings
from prior3d.settings.scenes import (
    PerceptualSettings,
    SceneOptimiserSettings,
    SceneRenderSettings,
    SceneSmoothnessSettings,
)
from stages.artifacts import FIELD, POSED_IMAGES, PRIOR, PROMPT
from stages.contract.parameters import EngineParams


class Params(EngineParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    variant: Literal["iterative", "one_time", "per_frame", "sds"] = Field(
        "iterative",
        description="the method, or what it is compared with: edit all images once, or edit them and fit no field, or "
        "score distillation",
    )
    steps: Steps = Field(180, ge=1, le=1_000_000, description="optimisation steps of a grid")
    edit_every: Steps = Field(4, ge=1, le=100_000, description="iterative: steps between two edits")
    background: float = Field(1.0, ge=0, le=1, description="grey level behind objects that masks cut out")
    held_out_every: int = Field(
        10, ge=0, le=1000, description="one image of so many is not edited, as in scene_fit; 0: all are edited"
    )
    preview_scales: tuple[tuple[float, ...], tuple[float, ...]] = Field(
        ((1.0, 1.5, 2.0), (2.0, 3.0, 5.0)), description="image and text guidance of the preview's grid; empty: none"
    )
    edit: ViewEditSettings = ViewEditSettings()
    relevance: RelevanceSettings = RelevanceSettings()
    consensus: ConsensusSettings = ConsensusSettings()
    rendering: SceneRenderSettings = SceneRenderSettings()
    optimiser: SceneOptimiserSettings = SceneOptimiserSettings()
    smoothness: SceneSmoothnessSettings = SceneSmoothnessSettings()
    perceptual: PerceptualSettings = PerceptualSettings()
    splats: EditedSplatSettings = EditedSplatSettings()

    @model_validator(mode="after")
    def _what_goes_with_splats(self) -> "Params":
        """A consensus is of all images, and a region is of Gaussians that stay the same."""
        if self.splats.edit_all_every == 0 and self.consensus.enabled:
            raise ValueError(
                "splats.edit_all_every: 0 edits one image after the other, and consensus needs all of them together; "
                "set consensus.enabled=false, or splats.edit_all_every to 1 or larger"
            )
        if self.splats.density_control.until > 0 and self.relevance.threshold > 0:
            raise ValueError(
                "splats.density_control.until: Gaussians that take other places cannot be kept out of a region; set it "
                "to 0, or relevance.threshold to 0"
            )
        return self

    renamed: ClassVar[dict[str, str]] = {
        "guidance_scale": "edit.guidance_scale",
        "image_guidance_scale": "edit.image_guidance_scale",
        "noise_range": "edit.noise_range",
        "final_noise": "edit.noise_range_end",
        "denoising_steps": "edit.num_inference_steps",
        "edits_averaged": "edit.n_edit_samples",
        "edit_size": "edit.image_size",
        "tell_camera": "edit.camera_conditioning",
        "transfer": "edit.transfer",
        "least_change": "edit.min_change",
        "kept_share": "edit.previous_weight",
        "relevance_threshold": "relevance.threshold",
        "relevance_samples": "relevance.n_samples",
        "relevance_noise": "relevance.strength",
        "guesses": "consensus.one_step_predictions",
        "guess_noise": "consensus.one_step_strength",
        "least_likely": "consensus.min_change_ratio",
        "least_share": "consensus.relative_threshold",
        "like_colours": "consensus.colour_bandwidth",
        "own_share": "consensus.self_weight",
        "rays_per_step": "rendering.rays_per_step",
        "segments": "rendering.n_bins",
        "samples_per_segment": "rendering.samples_per_bin",
        "density_rate": "optimiser.density_learning_rate",
        "colour_rate": "optimiser.learning_rate",
        "decay_to": "optimiser.decay_to",
        "smoothness_weight": "smoothness.weight",
        "smooth_change": "smoothness.regularise_residual",
        "perceptual_weight": "perceptual.weight",
        "perceptual_weights": "perceptual.weights_file",
        "patch": "perceptual.patch_size",
    }


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 15_000,
        "edit_every": 10,
        "preview_scales": ((1.2, 1.5, 1.8), (5.0, 7.5, 10.0)),
        "edit": {"guidance_scale": 7.5, "noise_range": (0.02, 0.98), "num_inference_steps": 20, "transfer": False},
        "consensus": {"enabled": False},
        "rendering": {"rays_per_step": 16_384, "n_bins": 160},
        "optimiser": {"density_learning_rate": 0.1, "decay_to": 1.0},
        "smoothness": {"weight": 0.02, "regularise_residual": False},
        "splats": {"steps": 7500, "edit_all_every": 2500},
    },
}
INPUTS = {
    "field": FIELD,
    "images": POSED_IMAGES,
    "instruction": PROMPT,
    "prior": PRIOR,
}
OUTPUT = FIELD
