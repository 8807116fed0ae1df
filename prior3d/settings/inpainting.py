"""Settings of a texture that an inpainting prior fills view by view."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Degrees, FractionOfT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InpaintCameraSettings:
    """Cameras that look at the mesh in turn: a ring, then four views from above and four from below."""

    azimuth_step_deg: Degrees = Field(default=45, ge=5, le=180, description="between the views of the ring")
    elevation_deg: Degrees = Field(default=15, ge=-60, le=60, description="of the ring")
    upper_elevation_deg: Degrees = Field(default=55, ge=0, le=90, description="of the views from above")
    lower_elevation_deg: Degrees = Field(default=-8, ge=-90, le=0, description="of the views from below")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InpaintViewSettings:
    """How a view's unknown pixels are filled, and how texels take their colours; the defaults are the toy prior's."""

    guidance_scale: float = Field(default=2.0, ge=1, le=200, description="classifier-free guidance; 1 is none")
    num_inference_steps: int = Field(default=20, ge=1, le=1000, description="DDIM steps of each view")
    strength: FractionOfT = Field(
        default=1.0,
        gt=0,
        description="below 1, start from the mesh's own texture or the nearest known colours, noised to this level",
    )
    blend_weight: float = Field(
        default=1.0, gt=0, le=1, description="weight of the generated colour over the existing texture; 1 replaces it"
    )
    view_angle_exponent: float = Field(
        default=1.5, ge=0, le=10, description="power of the cosine to the surface's normal that weighs a pixel"
    )
    image_weight: float = Field(
        default=4.0, gt=0, le=1000, description="weight of the input image's pixels beside a generated pixel's 1"
    )
    repaint_ratio: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="repaint a texel whose confidence is below this fraction of what the view would give; 0: never",
    )
    min_hole_fraction: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="skip views with fewer pixels to fill",
        json_schema_extra={"unit": "of pixels"},
    )
    seam_steps: int = Field(
        default=8,
        ge=0,
        le=1000,
        description="how far a colour difference at a hole's edge is carried into it",
        json_schema_extra={"unit": "pixels"},
    )
    supersampling: int = Field(default=3, ge=1, le=16, description="samples along each side of a pixel")
