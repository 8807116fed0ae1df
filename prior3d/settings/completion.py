"""Settings of the symmetric completion: one image of an unknown thing becomes a whole body."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, ColourRange, Degrees, Fraction, Pixels, Steps, Weight
from prior3d.settings.optimisation import OptimiserSettings
from prior3d.settings.reconstruction import FitSettings
from prior3d.settings.refresh import SurfaceSettings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BodySettings:
    """The shape behind an outline."""

    size: Pixels = Field(default=128, ge=16, le=1024, description="side at which outline and colours are taken")
    roundness: float = Field(
        default=1.0,
        gt=0,
        le=2,
        description="depth relative to a body that is round from above; 0.3: flat things",
    )
    longest: float = Field(
        default=1.5,
        ge=1,
        le=4,
        description="greatest half depth, relative to the radius of the largest disc in the outline at that place",
    )
    limb_threshold: Fraction = Field(
        default=0.55, description="parts of a row thinner than this fraction of its thickest place are limbs"
    )
    base: Fraction = Field(
        default=0.2, description="fraction of the height over which the pieces of a wide foot stand on one base"
    )
    core: Fraction = Field(
        default=0.4, description="fraction of the depth that stays where outlines of other views trim the body"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BackSettings:
    """The colours that the image does not show; angles are counted round the body from the middle of its front."""

    outer_deg: Degrees = Field(
        default=66.0, gt=10, lt=90, description="so far the image's own pixels reach; their mirror image goes on"
    )
    inner_deg: Degrees = Field(
        default=36.0, ge=0, lt=90, description="nothing nearer to the middle of the front is mirrored to the back"
    )
    detail: Fraction = Field(default=1.0, description="contrast of mirrored detail at the middle of the back")
    grain: ColourRange = Field(
        default=0.1,
        ge=0,
        le=1,
        description="greatest contrast on the back of what does not touch the outline: fur goes round, eyes do not",
    )
    outer_fraction: Fraction = Field(
        default=0.22, description="fraction of a row at each end whose median colours the back"
    )
    middle_weight: Fraction = Field(
        default=0.3, description="weight of the row's median at the middle of the back, against its two ends"
    )
    seam_deg: Degrees = Field(
        default=30.0, gt=0, le=90, description="width in which details of left and right meet at the middle of the back"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CompletionSettings:
    """One image to a whole body: its shape, its colours, its renders, and the fit that ends it."""

    elevation_deg: Degrees = Field(default=4.0, ge=-60, le=60, description="elevation of an unknown camera")
    fov_deg: Degrees = Field(default=14.0, ge=1, le=90, description="field of view of an unknown camera")
    body: BodySettings = BodySettings()
    back: BackSettings = BackSettings()
    view_size: Pixels = Field(default=96, ge=16, le=512, description="side of the body's renders that the fit takes")
    image_weight: Weight = Field(default=6.0, description="weight of the image in the fit, relative to one render")
    steps: Steps = Field(default=80, ge=0, le=100_000, description="steps of the fit")
    fit: FitSettings = FitSettings(
        resolutions=(33, 65),
        surface=SurfaceSettings(distortion_weight=0.5, sparsity_weight=1e-3, smoothness_weight=3.0),
        optimiser=OptimiserSettings(learning_rate=0.01, decay_from=0.5, decay_to=0.1),
    )
