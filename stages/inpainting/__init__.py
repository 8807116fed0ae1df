"""The unseen part of a texture, filled view by view by an inpainting prior.

From the photograph's camera outwards the mesh is looked at from all round, then from above and from below. In each view
the prior fills what no view has shown yet (`stages.inpainted_views`). What remains takes the colour of the nearest
surface that is known, and is counted.

Where the mesh comes with a texture of its own (baked from a coarse NeRF), and at a noise level below 1, the prior
begins from a render of it and not from noise alone, so that the sides stay what the NeRF has made of them; without such
a texture it then begins from the nearest known colours.
"""

from pydantic import Field

from stages.artifacts import CONCEPT, OBJECT_IMAGE, PAINTABLE_MESH, PARTIAL_TEXTURE, PRIOR, PROMPT
from stages.contract.parameters import DEGREES, StageParams


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    guidance_scale: float = Field(2.0, ge=1, le=200, description="classifier-free guidance s; 1 is none")
    denoising_steps: int = Field(20, ge=1, le=1000, description="DDIM steps of each view")
    noise_level: float = Field(
        1.0,
        gt=0,
        le=1,
        description="below 1 a hole begins from the mesh's own texture, or the nearest known colours, noised to this",
        json_schema_extra={"unit": "of T"},
    )
    negative_prompt: str = Field("", max_length=1000, description="what guidance moves away from")
    view_words: bool = Field(True, description="name the view (front, side, back, overhead) in the prompt")
    front_deg: float = Field(
        90, ge=0, le=180, description="width of the front and of the back sector", json_schema_extra=DEGREES
    )
    overhead_deg: float = Field(
        60, ge=0, le=90, description="elevation above which a view is overhead", json_schema_extra=DEGREES
    )
    camera_conditioning: bool = Field(True, description="give the exact camera to priors that take one")
    azimuth_step_deg: float = Field(
        45, ge=5, le=180, description="between the views of the middle ring", json_schema_extra=DEGREES
    )
    elevation_deg: float = Field(15, ge=-60, le=60, description="of the middle ring", json_schema_extra=DEGREES)
    upper_deg: float = Field(55, ge=0, le=90, description="of four views from above", json_schema_extra=DEGREES)
    lower_deg: float = Field(-8, ge=-90, le=0, description="of four views from below", json_schema_extra=DEGREES)
    squareness: float = Field(
        1.5, ge=0, le=10, description="power of the cosine to the surface's normal that weighs a drawn pixel"
    )
    photograph_weight: float = Field(
        4.0, gt=0, le=1000, description="how much more a pixel of the photograph counts than a drawn one"
    )
    renewal: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a texel is drawn again by a view that would know it better by this factor; 0: never",
    )
    drawn_share: float = Field(
        1.0, gt=0, le=1, description="of what is drawn; the rest is what stood there, such as the mesh's own texture"
    )
    smallest_hole: float = Field(
        0.02, ge=0, le=1, description="views with less to fill are left out", json_schema_extra={"unit": "of pixels"}
    )
    seam_steps: int = Field(
        8,
        ge=0,
        le=1000,
        description="how far a shade's difference at the edge of a hole is carried into it",
        json_schema_extra={"unit": "pixels"},
    )
    supersampling: int = Field(3, ge=1, le=16, description="samples along each side of a pixel")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"guidance_scale": 7.5, "denoising_steps": 50}}
INPUTS = {
    "mesh": PAINTABLE_MESH,
    "texture": PARTIAL_TEXTURE,
    "image": OBJECT_IMAGE,
    "prompt": PROMPT,
    "concept": CONCEPT,
    "prior": PRIOR,
}
OPTIONAL_INPUTS = frozenset({"prompt", "concept"})
OUTPUT = PARTIAL_TEXTURE
