"""Settings of views that a joint-view prior draws, and of the caption that it draws them by."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Degrees, FractionOfT, Strengths, Weight


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionSettings:
    """How a caption of given images is found, and when a joint-view prior is taken to know what they show."""

    candidates: Literal["toy", "none"] = Field(
        default="toy",
        description="toy: whatever the toy world says of its objects; none: only the caption that a person gives",
    )
    n_kept: int = Field(
        default=16, ge=1, le=256, description="captions that the scorer likes best, which the prior then judges"
    )
    noise_levels: Strengths = Field(
        default=(0.4, 0.6, 0.8), description="levels of the noise that the prior takes off to judge a caption"
    )
    n_draws: int = Field(default=2, ge=1, le=64, description="draws of noise at each level")
    known_below: float = Field(
        default=0.7,
        ge=0,
        le=10,
        description="the prior knows the thing if its error with the caption is below so much of that without words",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CameraSearchSettings:
    """How the direction is found that one image of a known thing was taken from: where noise comes off best."""

    n_azimuths: int = Field(
        default=12, ge=1, le=72, description="azimuths that are tried first; 1: the direction is not looked for"
    )
    n_captions: int = Field(
        default=2, ge=1, le=64, description="captions that each of them is tried with, those that the scorer likes best"
    )
    noise_levels: Strengths = Field(
        default=(0.4, 0.6, 0.8), description="levels of the noise that is taken off at each azimuth"
    )
    fine_noise_levels: Strengths = Field(
        default=(0.2, 0.4, 0.6), description="the same of the directions round the best azimuth, at several elevations"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DrawingSettings:
    """What a joint-view prior draws; the defaults are the toy prior's."""

    num_inference_steps: int = Field(default=10, ge=1, le=1000, description="DDIM steps of each drawing")
    guidance_scale: float = Field(
        default=2.5, ge=1, le=200, description="guidance on the text for views that are drawn from words alone"
    )
    given_guidance_scale: float = Field(
        default=1.0, ge=1, le=200, description="guidance on the text for views that are drawn given others; 1 is none"
    )
    negative_prompt: str = Field(default="", max_length=1000, description="text that guidance moves away from")
    view_words: bool = Field(default=True, description="name the view (front, side, back, overhead) in the text")
    ring_elevation_deg: Degrees = Field(
        default=15.0, ge=-30, le=60, description="elevation of the ring of views that is drawn from words alone"
    )
    ring_views: int = Field(
        default=4,
        ge=4,
        le=16,
        description="views of the ring that is drawn from words alone, evenly all round; MVDream was trained on four, "
        "and its code takes any number",
    )
    views_at_once: Literal[0, 1, 2, 4, 8] = Field(
        default=8,
        description="of the eight further views, how many are drawn together given the ring; 0: no such views",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GivenSettings:
    """How given images count beside the views that are drawn given them."""

    n_sets: int = Field(
        default=3, ge=1, le=16, description="sets of twelve views drawn given the images; their errors differ"
    )
    weight: Weight = Field(
        default=4.0, description="weight of a given image in the fit, relative to the views drawn at one camera"
    )
    mirror_weight: Weight = Field(
        default=2.0,
        description="the same of one image's mirror image, as the mirrored camera sees a symmetric object; 0: it is "
        "neither fitted nor shown to the prior",
    )
    posed_weight: Weight = Field(
        default=8.0, description="weight of each posed image in the fit, relative to the views drawn at one camera"
    )
    posed_mirror_weight: Weight = Field(
        default=4.0,
        description="the same of each posed image's mirror image, where the outlines agree with a thing that is alike "
        "on both sides; only the fit sees it; 0: none",
    )
    mirror_coverage: float = Field(
        default=0.96,
        ge=0,
        le=1,
        description="least share of the posed images' outlines that must agree with it",
    )
    unknown_weight: Weight = Field(
        default=0.1, description="weight of drawn views, beside posed images of a thing that the prior does not know"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OutlineSettings:
    """How a prior redraws views of a body that was completed from one image, to trim it to their outlines."""

    n_sets: int = Field(default=3, ge=1, le=16, description="sets of redrawn views; the union of their outlines counts")
    strength: FractionOfT = Field(
        default=0.6, description="noise level to which the body's renders are taken; 0: they are not redrawn"
    )
    num_inference_steps: int = Field(default=20, ge=1, le=1000, description="DDIM steps from that level down")
