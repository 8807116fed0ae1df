"""The field's colours on the mesh: a texture atlas, baked as a camera would see the field, in a GLB and an OBJ.

The colours of a field are grainy. Smoothing removes the grain and keeps edges. With an image of the object, the texels
that its camera sees are then fitted to its pixels, which are sharper than the field's colours. So they are with views
that a prior drew, or with a few posed images among them. Of a field that is the symmetric completion of an image, the
colours come from the completion itself, which has no grain.
"""

from typing import ClassVar

from pydantic import Field

from prior3d.settings import ColourRange, Steps, Texels, WorldUnits
from stages.artifacts import DRAWN_VIEWS, FIELD, MESH, OBJECT_IMAGE, TEXTURED_MESH
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    resolution: Texels = Field(512, ge=32, le=8192, description="side of the texture")
    shell: WorldUnits = Field(
        0.06,
        gt=0,
        le=0.5,
        description="a texel shows what a short ray sees, from this far outside the surface to twice as far inside",
    )
    smoothing_radius: WorldUnits = Field(
        0.05, ge=0, le=0.5, description="how far colours are smoothed over the surface; 0 leaves their grain"
    )
    edge_threshold: ColourRange = Field(
        0.1, gt=0, le=2, description="colours that differ by much more than this are not mixed in smoothing"
    )
    image_steps: Steps = Field(
        20,
        ge=0,
        le=1000,
        description="with an image: steps that fit the texture to its pixels; 0 leaves the field's colours",
    )
    view_steps: Steps = Field(
        10, ge=0, le=1000, description="with views: steps that fit the texture to all of their pixels; 0: none"
    )
    view_damping: float = Field(
        1.0,
        ge=0.001,
        le=1000,
        description="with views: weight of the present colour in each of these steps; a given image has 1",
    )

    renamed: ClassVar[dict[str, str]] = {
        "smoothing": "smoothing_radius",
        "edge": "edge_threshold",
        "picture_steps": "image_steps",
    }


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 1024}}
INPUTS = {"mesh": MESH, "field": FIELD, "image": OBJECT_IMAGE, "views": DRAWN_VIEWS}
OPTIONAL_INPUTS = frozenset({"image", "views"})
OUTPUT = TEXTURED_MESH
