"""Settings of textual inversion: the sentences, the versions of the image, the initializer, the optimiser."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Degrees, FractionOfSteps, PixelLength, Probability, Range
from prior3d.settings.optimisation import OptimiserSettings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InversionPromptSettings:
    """What the prior is told about each version of the image; the defaults are the toy prior's."""

    templates: tuple[str, ...] = Field(
        default=("a {}",), min_length=1, description="sentences that hold the word at {}; one is drawn per version"
    )
    view_words: bool = Field(default=True, description="name the view (front, side, back, overhead) in the sentences")
    camera_conditioning: bool = Field(default=True, description="give the image's camera to priors that take one")
    named_backgrounds: bool = Field(
        default=True, description="put white, grey and black behind, and name it; else only white"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AugmentationSettings:
    """How far versions may differ from the image; each change happens with its own probability."""

    rotation_deg: Degrees = Field(default=5.0, ge=0, le=180, description="largest rotation to either side")
    rotated: Probability = Field(default=0.75, description="probability of a rotation")
    scale: Range = Field(
        default=(0.93, 1.07),
        description="smallest and largest enlargement; the object moves by at most half of the space around it",
    )
    mirrored: Probability = Field(
        default=0.5, description="probability of a mirror image; the sign of the camera's azimuth changes with it"
    )
    jitter: float = Field(default=0.04, ge=0, le=1, description="largest change of a colour channel's brightness")
    jittered: Probability = Field(default=0.75, description="probability of a change of brightness")
    grey: Probability = Field(default=0.0, description="probability of an image without colours")
    blurred: Probability = Field(default=0.1, description="probability of a blur")
    blur_pixels: PixelLength = Field(
        default=0.25, ge=0, le=20, description="largest standard deviation of the blur; the smallest is 0.1"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InitializerSettings:
    """How the initializer is found where none is named."""

    captions: Literal["toy", "none"] = Field(
        default="toy",
        description="toy: with several vectors, whatever the toy world says of its objects is compared, too; none: "
        "words and pairs of words alone",
    )
    n_captions: int = Field(default=16, ge=1, le=256, description="nearest captions that the prior compares")
    n_candidates: int = Field(
        default=4000, ge=1, description="most frequent words of the vocabulary that the scorer compares with the image"
    )
    n_words: int = Field(default=32, ge=2, le=1000, description="nearest words of which pairs are made")
    n_pairs: int = Field(default=24, ge=1, le=10_000, description="nearest pairs that the prior compares by denoising")
    n_noise_levels: int = Field(default=12, ge=1, le=1000, description="noise levels of that comparison, spread evenly")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InversionOptimiserSettings(OptimiserSettings):
    """AdamW on the word's embeddings; the defaults are the toy prior's."""

    learning_rate: float = Field(default=0.05, gt=0, le=1, description="of the word's embeddings")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="of the word's embeddings")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="decay rates of AdamW's moments")
    epsilon: float = Field(default=1e-8, gt=0, le=1, description="gradients far below it hardly move a value")
    decay_from: FractionOfSteps = Field(default=0.5, description="when the learning rate begins to fall")
    decay_to: float = Field(
        default=0.1, gt=0, le=1, description="fraction of the learning rate at the end; 1 is no decay"
    )
