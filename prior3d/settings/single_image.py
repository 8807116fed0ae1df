"""Settings of a reconstruction from one image: the image, its mirror image, normals, and a scorer's judgement."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import (
    STRICT,
    Degrees,
    Fraction,
    FractionOfSteps,
    FractionOfT,
    Probability,
    Rays,
    Steps,
    Strengths,
    Weight,
)
from prior3d.settings.completion import CompletionSettings
from prior3d.settings.distillation import PromptSettings
from prior3d.settings.optimisation import FieldSettings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImagePromptSettings(PromptSettings):
    """How the prompt tells the prior about a view of the image's object."""

    template: str = Field(
        default="a {}", max_length=500, description="the object in words; {} is the concept's word, or `generic`"
    )
    generic: str = Field(default="thing", max_length=100, description="stands for {} where there is no concept")
    match_released_code: bool = Field(
        default=False,
        description="RealFusion's code, not its paper: in nine of ten steps the prompt names the front view wherever "
        "the camera is, and the rays' origins and directions are off by noise of 0.02",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UnseenSettings:
    """Drawn views of the sides that the image does not show, and the fit that starts from a field fitted to them."""

    weight: Weight = Field(default=1.0, description="weight of the colours of drawn views; 0: they are not fitted")
    mask_weight: Weight = Field(default=0.5, description="weight of their masks, beside their colours")
    rays_per_step: Rays = Field(default=1024, ge=16, le=262_144, description="rays of drawn views per step")
    steps: Steps = Field(default=20, ge=0, le=100_000, description="steps of distillation from a field that is given")
    refreshing_steps: Steps = Field(
        default=60, ge=0, le=100_000, description="steps on refreshed views from a field that is given"
    )
    strengths: Strengths = Field(
        default=(0.3,), description="noise level of each of their refreshes, from a field that is given"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReferenceSettings:
    """How a field is held to the image from the image's own camera, and to drawn views of its other sides."""

    loss: Literal["huber", "squared", "absolute"] = Field(
        default="huber",
        description="of colours and outline: Huber's, which counts large errors linearly, and the outline's absolute "
        "error; or the squares of both (RealFusion); or the absolute errors of both (Make-It-3D)",
    )
    weight: Weight = Field(default=2.0, description="weight of the image's colours")
    mask_weight: Weight = Field(default=1.0, description="weight of the opacity's difference to the image's outline")
    depth_weight: Weight = Field(
        default=0.0, description="weight of 1 - Pearson's correlation with the image's depth, where it has one"
    )
    rays_per_step: Rays = Field(default=1024, ge=16, le=262_144, description="rays of the image per step")
    entropy: bool = Field(default=True, description="take the opacity's entropy of the image's rays too")
    alone_every: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="one step of so many fits the image alone, and the others distil alone; 0: every step does both",
        json_schema_extra={"unit": "steps"},
    )
    unseen: UnseenSettings = UnseenSettings()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MirrorSettings:
    """The image's mirror image beside it, for objects whose left and right are alike."""

    weight: float = Field(default=0.0, ge=0, le=1, description="weight beside the image; 0: no mirror image")
    min_iou: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="the mirror image stays beside refreshed views if the field's outline overlaps its own by this",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FrontFirstSettings:
    """Views from the image's side only, at first (Tang et al. 2023)."""

    until: FractionOfSteps = Field(default=0.0, description="how long; 0: all sides from the start")
    width_deg: Degrees = Field(default=90.0, gt=0, le=360, description="range of azimuths around the image's camera")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClipSettings:
    """How views are compared with the image and the prompt by a CLIP-like scorer (Tang et al. 2023, eqs. 4 and 5)."""

    weight: Weight = Field(default=0.0, description="weight of rendered views' distance to image and prompt")
    denoised_weight: Weight = Field(
        default=0.0, description="weight of the same for what the prior makes of views with little noise (CLIP-D)"
    )
    denoised_max_timestep: FractionOfT = Field(default=0.4, description="highest noise level of CLIP-D")
    replaces_sds: bool = Field(default=False, description="leave score distillation out of views that CLIP-D judges")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ShadingSettings:
    """Views under a light near the camera, in some of the steps of distillation (RealFusion)."""

    starts_at: FractionOfSteps = Field(default=0.0, description="when views begin to be shaded")
    textureless: Probability = Field(default=0.0, description="probability of a step in white under the light")
    lambertian: Probability = Field(default=0.0, description="probability of a step in its colours under the light")
    ambient: Fraction = Field(default=0.1, description="light that falls everywhere")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NormalSettings:
    """Regularisers of the surface's normals in drawn views, and light that falls on these."""

    shading: ShadingSettings = ShadingSettings()
    orientation_weight: Weight = Field(default=0.02, description="weight of visible normals that look away")
    smoothness_weight: Weight = Field(default=0.2, description="weight of the normals against their own blur")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImageRefreshSettings:
    """The last part of the fit: views that the prior refreshes, beside the image. 0 steps leave the paper's form."""

    steps: Steps = Field(default=150, ge=0, le=100_000, description="steps on refreshed views, after distillation")
    weight: Weight = Field(default=1.0, description="weight of refreshed views beside the image")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImageFieldSettings(FieldSettings):
    """The radiance field of the image's object at its start, and when its fine grids come in."""

    fine_from: FractionOfSteps = Field(default=0.5, description="when the finer half of the grids comes in")
    start: Literal["blob", "completion"] = Field(
        default="blob",
        description="blob: the prior shapes it; completion: the image's symmetric completion, fitted to the image "
        "without a prior, for things that the prior does not know",
    )
    completion: CompletionSettings = CompletionSettings()
