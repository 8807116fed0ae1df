"""Settings of a scene's edit by an instruction: single images, where they may change, and what they agree on."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, ColourRange, FractionOfT, Pixels, StrengthRange


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ViewEditSettings:
    """How an instruct prior edits one image; the defaults are the toy prior's."""

    guidance_scale: float = Field(default=3.0, ge=0, le=100, description="how strongly the instruction is followed")
    image_guidance_scale: float = Field(
        default=1.5, ge=0, le=100, description="how strongly the original image is kept"
    )
    noise_range: StrengthRange = Field(
        default=(0.98, 0.98), description="range from which an edit's noise level is drawn, evenly"
    )
    noise_range_end: FractionOfT = Field(
        default=0.0, description="upper end of noise_range at the last step, reached linearly; 0: it stays"
    )
    num_inference_steps: int = Field(default=10, ge=1, le=1000, description="DDIM steps of an edit")
    n_edit_samples: int = Field(
        default=1, ge=1, le=100, description="edits from different noise whose mean is taken as the edit"
    )
    image_size: Pixels = Field(
        default=0,
        ge=0,
        le=2048,
        description="shorter side of images shown to the prior; 0: an embedded prior's own size, else the image's own",
    )
    camera_conditioning: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="give the camera to a prior that takes one; auto: if it stands where the toy world's cameras do",
    )
    transfer: bool = Field(
        default=True,
        description="add the prior's change to the original image, which keeps detail; false: take the prior's image",
    )
    min_change: ColourRange = Field(
        default=0.1, ge=0, le=1, description="with transfer, without consensus: leave out smaller mean changes"
    )
    previous_weight: float = Field(
        default=0.0, ge=0, lt=1, description="iterative: weight of an image's previous edit in its new one"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RelevanceSettings:
    """Edit only where the instruction changes the prior's prediction (Mirzaei et al. 2023)."""

    threshold: float = Field(
        default=0.0, ge=0, le=1, description="fraction of the greatest relevance that is edited; 0: edit everywhere"
    )
    n_samples: int = Field(default=4, ge=1, le=100, description="noises per image from which relevance is estimated")
    strength: FractionOfT = Field(default=0.8, description="level of that noise")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConsensusSettings:
    """Average the edits of all images over the surfaces they show, and keep what is strong and agreed on."""

    enabled: bool = Field(
        default=True,
        description="average edits over surfaces; iterative: all images are then edited together, as often as each "
        "would have its turn",
    )
    one_step_predictions: int = Field(
        default=4,
        ge=0,
        le=100,
        description="one-step predictions per image, without guidance, that tell where it changes; 0: none",
    )
    one_step_strength: FractionOfT = Field(default=0.8, gt=0, description="noise level of that step")
    min_change_ratio: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="leave a colour cluster unchanged if its one-step change is below this fraction of the full edit",
    )
    relative_threshold: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="leave out changes that are weaker, or less agreed on, than this fraction of the strongest",
    )
    colour_bandwidth: ColourRange = Field(
        default=0.1, ge=0, le=1, description="surfaces within this colour distance change together; 0: each by itself"
    )
    self_weight: float = Field(
        default=0.5, ge=0, le=1, description="weight of a node's own strength beside its colour cluster's"
    )
