"""Settings of score distillation: which views are drawn, how prompts name them, what the prior is asked."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from prior3d.settings import (
    STRICT,
    DegreeRange,
    Degrees,
    Fraction,
    FractionOfSteps,
    FractionOfT,
    Pixels,
    Probability,
    Weight,
    WorldUnitRange,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ViewSettings:
    """Cameras drawn around the object in each step; the defaults are the toy prior's."""

    per_step: int = Field(
        default=4, ge=1, le=64, description="views rendered per step, spread evenly around the object"
    )
    azimuth_deg: DegreeRange = Field(default=(0, 360), description="range of the cameras' azimuth")
    elevation_deg: DegreeRange = Field(default=(-5, 55), description="range of the cameras' elevation")
    hemisphere: Probability = Field(
        default=0.0,
        description="probability that a view comes from anywhere on the upper half of the sphere, not from the ranges",
    )
    radius: WorldUnitRange = Field(default=(3.2, 3.2), description="range of the cameras' distance from the origin")
    fov_deg: DegreeRange = Field(default=(40, 40), description="range of the vertical field of view")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptSettings:
    """How the prompt tells the prior about a view."""

    view_words: bool = Field(default=True, description="name the view (front, side, back, overhead) in the prompt")
    name_background: bool = Field(default=True, description="name the flat background in the prompt")
    front_deg: Degrees = Field(default=90, ge=0, le=180, description="width of the front sector and of the back sector")
    overhead_deg: Degrees = Field(default=60, ge=0, le=90, description="elevation above which a view is overhead")
    camera_conditioning: bool = Field(default=True, description="give the exact camera to priors that take one")
    negative_prompt: str = Field(default="", max_length=1000, description="text that guidance moves away from")
    perp_neg_weight: Weight = Field(
        default=0.0,
        description="Perp-Neg: weight of the negative prompt, of which only the part perpendicular to the prompt "
        "counts; 0: the negative prompt stands in for the empty one",
    )
    perp_neg_view_weight: Weight = Field(
        default=0.0,
        description="Perp-Neg for view words: weight of the words of the neighbouring views as negative prompts; 1 is "
        "the paper's, 0 is none",
    )

    @model_validator(mode="after")
    def _negatives_have_words(self) -> "PromptSettings":
        """A weight of a negative prompt needs the prompt."""
        if self.perp_neg_weight > 0 and not self.negative_prompt:
            raise ValueError("perp_neg_weight is not 0, but negative_prompt is empty; give one, or set the weight to 0")
        if self.perp_neg_view_weight > 0 and not self.view_words:
            raise ValueError("perp_neg_view_weight is not 0, but view_words is off; switch view_words on")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SdsLoss:
    """Score distillation sampling (DreamFusion, Poole et al. 2022)."""

    kind: Literal["sds"] = Field(default="sds", description="which loss")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CsdLoss:
    """Classifier score distillation (Yu et al. 2023): only what guidance adds."""

    kind: Literal["csd"] = Field(default="csd", description="which loss")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IsmLoss:
    """Interval score matching (LucidDreamer, Liang et al. 2023): two points of one DDIM inversion."""

    kind: Literal["ism"] = Field(default="ism", description="which loss")
    interval_start: FractionOfT = Field(default=0.1, gt=0, description="between the two noise levels, at the start")
    interval_end: FractionOfT = Field(default=0.025, gt=0, description="the same once it has settled")
    settles_at: FractionOfSteps = Field(
        default=0.3, description="until when the interval goes linearly from its start to its end"
    )
    inversion_step: FractionOfT = Field(
        default=0.2, gt=0, description="longest step of the DDIM inversion below the lower noise level"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VsdLoss:
    """Variational score distillation (ProlificDreamer, Wang et al. 2023): a LoRA learns what the renders look like."""

    kind: Literal["vsd"] = Field(default="vsd", description="which loss")
    particles: int = Field(
        default=1,
        ge=1,
        le=16,
        description="objects made together, one drawn a step; the first is the result. Only for stages that start from "
        "nothing",
    )
    rank: int = Field(default=4, ge=1, le=128, description="rank of the LoRA on the attention of the U-Net")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="of the LoRA")
    recompute: bool = Field(
        default=False,
        description="compute the U-Net's blocks again in the LoRA's backward pass: the same gradients with less memory "
        "and more work",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class X0Loss:
    """The clean image in place of the noise, with its contrast taken back (MVDream, Shi et al. 2023)."""

    kind: Literal["x0"] = Field(default="x0", description="which loss")
    rescale: Fraction = Field(
        default=0.5,
        description="how far the guided clean images' standard deviation, over all views of a step, is drawn to the "
        "unguided ones'",
    )


DistillationLoss = Annotated[SdsLoss | CsdLoss | IsmLoss | VsdLoss | X0Loss, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SdsSettings:
    """Score distillation; the defaults are the toy prior's."""

    loss: DistillationLoss = Field(default=SdsLoss(), description="which loss; `kind` brings the values that suit it")
    weight: Weight = Field(default=1.0, description="weight of the loss, a mean over elements; 0 leaves the prior out")
    guidance_scale: float = Field(default=3.0, ge=1, le=200, description="classifier-free guidance; 1 is none")
    guidance_rescale: Fraction = Field(
        default=0.0,
        description="how far the guided prediction's standard deviation is drawn to the unguided one's, against "
        "saturated colours; 0: not at all",
    )
    timestep_min: FractionOfT = Field(default=0.02, description="lowest noise level")
    timestep_max: FractionOfT = Field(default=0.98, description="highest noise level at the start")
    timestep_max_end: FractionOfT = Field(
        default=0.98, description="highest noise level at the end; it changes linearly"
    )
    timestep_schedule: Literal["drawn", "linear", "dreamtime"] = Field(
        default="drawn",
        description="noise levels: drawn evenly between the lowest and the highest, or falling from timestep_max to "
        "timestep_min over the steps, linearly or slower where content forms (DreamTime)",
    )
    weighting: Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant", "noise_to_signal"] = Field(
        default="one_minus_alpha", description="weight w(t) of the gradient"
    )
    starts_at: FractionOfSteps = Field(default=0.0, description="when it begins; before that only other losses act")
    views_at_once: int = Field(
        default=0,
        ge=0,
        le=64,
        description="RGB views that are encoded at once, block by block again in the backward pass: the same result "
        "with less memory and more work; 0: all at once",
    )
    image_size: Pixels = Field(
        default=0,
        ge=0,
        le=1024,
        description="side of RGB renders, which are resized for the prior; 0: the prior's own size",
    )
    elements: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="what the sum over the latents of a view is divided by; 0: by their number, so that the loss is a "
        "mean. With a fixed number it weighs beside other losses as a sum does, whatever the size of a prior's latents",
    )

    @model_validator(mode="after")
    def _noise_levels_rise(self) -> "SdsSettings":
        """The lowest noise level is not above the highest, at the start and at the end."""
        if self.timestep_min > min(self.timestep_max, self.timestep_max_end):
            raise ValueError(
                f"timestep_min {self.timestep_min} is above timestep_max {self.timestep_max} or "
                f"timestep_max_end {self.timestep_max_end}; lower timestep_min"
            )
        return self

    @model_validator(mode="after")
    def _guidance_has_something_to_do(self) -> "SdsSettings":
        """Classifier score and rescaling need guidance."""
        if self.guidance_scale == 1 and isinstance(self.loss, CsdLoss):
            raise ValueError("loss csd is what guidance adds, and guidance_scale 1 adds nothing; raise guidance_scale")
        if self.guidance_scale == 1 and self.guidance_rescale > 0:
            raise ValueError("guidance_rescale is not 0, but guidance_scale 1 is no guidance; set one of them")
        return self
