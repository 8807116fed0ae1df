"""Textual inversion: a new word that means, to a prior, the object of one image.

Gal et al. 2022, as RealFusion uses it (Melas-Kyriazi et al. 2023, section 3.3). The word begins as the word of the
prior's vocabulary that a scorer finds nearest to the image, or as the words that a person says. Its embeddings, and
nothing else, are then optimised so that the prior denoises random versions of the image well. For a thing that no prior
knows, whose field is the completion of its image (`start`), no later stage asks the prior: the word stays as it begins.
"""

from typing import ClassVar

from pydantic import Field

from prior3d.settings import FractionOfSteps, Steps
from prior3d.settings.textual_inversion import (
    AugmentationSettings,
    InitializerSettings,
    InversionOptimiserSettings,
    InversionPromptSettings,
)
from stages.artifacts import CONCEPT, FIELD, OBJECT_IMAGE, PRIOR, PROMPT
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: Steps = Field(60, ge=0, le=100_000, description="optimisation steps")
    batch: int = Field(8, ge=1, le=256, description="versions of the image per step")
    at_once: int = Field(
        0,
        ge=0,
        le=256,
        description="versions that the prior sees at once, the same result with less memory and more work; 0: all",
    )
    token: str = Field("<object>", description="how prompts write the word")
    initializer_token: str = Field(
        "",
        max_length=80,
        description="word whose embedding the concept begins as, or up to num_vectors words; empty: the words of "
        "--prompt, else the scorer's nearest word, or with several vectors the words on which scorer and prior agree",
    )
    num_vectors: int = Field(
        6, ge=1, le=8, description="embeddings that the word stands for; small text encoders need several"
    )
    averaged_fraction: FractionOfSteps = Field(
        0.25, description="last part of the run; the result is the mean of the embeddings over it"
    )
    match_released_code: bool = Field(
        False, description="RealFusion's code, not its paper: the encoder is given images in [0, 1], not in [-1, 1]"
    )
    initializer: InitializerSettings = InitializerSettings()
    prompting: InversionPromptSettings = InversionPromptSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    optimiser: InversionOptimiserSettings = InversionOptimiserSettings()

    renamed: ClassVar[dict[str, str]] = {
        "initial_word": "initializer_token",
        "n_rows": "num_vectors",
        "as_released": "match_released_code",
        "n_candidates": "initializer.n_candidates",
        "templates": "prompting.templates",
        "view_words": "prompting.view_words",
        "camera_conditioning": "prompting.camera_conditioning",
        "named_backgrounds": "prompting.named_backgrounds",
        "rotation_deg": "augmentation.rotation_deg",
        "scale": "augmentation.scale",
        "mirrored": "augmentation.mirrored",
        "jitter": "augmentation.jitter",
        "grey": "augmentation.grey",
        "blurred": "augmentation.blurred",
        "blur_pixels": "augmentation.blur_pixels",
        "learning_rate": "optimiser.learning_rate",
        "weight_decay": "optimiser.weight_decay",
    }


SENTENCES = (
    "a photo of a {}", "a picture of a {}", "a rendering of a {}", "a close-up photo of a {}", "a photo of one {}",
    "a clean photo of the {}", "a bright photo of the {}", "a dark photo of a {}", "a good photo of the {}",
    "a cropped photo of a {}",
)  # fmt: skip
PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 3000,
        "batch": 4,  # one at a time, accumulated over four
        "at_once": 1,
        "num_vectors": 1,
        "initializer": {"captions": "none"},
        "prompting": {"templates": SENTENCES, "view_words": False, "named_backgrounds": False},
        "augmentation": {"rotation_deg": 10.0, "scale": (0.85, 1.15), "grey": 0.1, "blur_pixels": 2.0},
        "averaged_fraction": 0.0,
        "optimiser": {"learning_rate": 2e-3, "decay_to": 1.0},
    },
}
INPUTS = {"image": OBJECT_IMAGE, "prompt": PROMPT, "prior": PRIOR, "scorer": PRIOR, "start": FIELD}
OPTIONAL_INPUTS = frozenset({"prompt", "scorer", "start"})
OUTPUT = CONCEPT
