"""Settings of textures that are fitted to views which the prior refreshes."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Strengths, Weight


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextureRefreshSettings:
    """Views of a painted mesh that the prior makes (SDEdit) and refreshes, and how a texture is fitted to them."""

    n_views: int = Field(
        default=24, ge=4, le=400, description="views that the texture is fitted to, all around the mesh"
    )
    strengths: Strengths = Field(
        default=(0.7, 0.5, 0.3), description="noise level of each refresh, in turn; 0 only decodes the render"
    )
    num_inference_steps: int = Field(default=8, ge=1, le=1000, description="DDIM steps from the noise level down")
    supersampling: int = Field(default=3, ge=1, le=16, description="samples along each side of a pixel")
    view_angle_exponent: float = Field(
        default=2.0, ge=0, le=10, description="power of the cosine to the surface's normal that weighs a pixel"
    )
    smoothness_weight: Weight = Field(default=0.5, description="weight of the differences between neighbouring texels")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnchorSettings:
    """How a texture that begins as paint is held to the image that the paint comes from."""

    paint_weight: Weight = Field(default=4.0, description="weight that keeps painted texels at their colour")
    image_weight: Weight = Field(default=4.0, description="weight of the image's pixels, rendered from its camera")
    image_steps: int = Field(
        default=20,
        ge=0,
        le=1000,
        description="steps that at last fit what the image's camera sees to its pixels; 0: none",
        json_schema_extra={"unit": "steps"},
    )
