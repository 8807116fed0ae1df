"""Settings of losses that make a surface, and of views that the prior refreshes while something is fitted to them."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Rays, StepRange, Strengths, Weight, WorldUnits


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SurfaceSettings:
    """Regularisers that turn fog into a surface."""

    entropy_weight: Weight = Field(default=0.02, description="weight of the rays' opacity entropy in bits")
    distortion_weight: Weight = Field(default=2.0, description="weight of the distortion, which gathers a ray's weight")
    sparsity_weight: Weight = Field(default=0.0, description="weight of the mean opacity")
    smoothness_weight: Weight = Field(
        default=1.0, description="weight of the field's total variation (surface and colours)"
    )
    ramp: StepRange = Field(
        default=(0.3, 1.0),
        description="when entropy, distortion and sparsity begin to rise, and when they have full weight",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ObjectCheckSettings:
    """The check that a field shows an object, seen from the cameras of evaluation while it is made and at its end."""

    accept: bool = Field(
        default=False, description="keep the field whatever it shows: the check only says what it found"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ShapeSettings:
    """How a field is drawn towards a rough shape, where one is given."""

    weight: Weight = Field(
        default=20.0, description="weight of the difference to the shape's occupancy (mean over samples)"
    )
    proximal_surface: WorldUnits = Field(
        default=0.1,
        ge=0,
        le=2,
        description="distance from the shape's surface at which it begins to bind; 0: everywhere alike",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RefreshSettings:
    """Views that the prior makes from a render (SDEdit) and that are refreshed a few times, evenly over the steps."""

    n_views: int = Field(default=24, ge=4, le=400, description="views that are fitted, all around the object")
    strengths: Strengths = Field(
        default=(0.5, 0.35, 0.2), description="noise level of each refresh, in turn; 0 only decodes the render"
    )
    num_inference_steps: int = Field(default=8, ge=1, le=1000, description="DDIM steps from the noise level down")
    rays_per_step: Rays = Field(default=2048, ge=64, le=262_144, description="rays of these views per step")
    mask_weight: Weight = Field(default=0.5, description="weight of the opacity's difference to the views' masks")
