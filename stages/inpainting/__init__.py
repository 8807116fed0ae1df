"""The unseen part of a texture, filled view by view by an inpainting prior.

After Richardson et al. 2023, TEXTure. Cameras look at the mesh from all around, beginning next to the image's camera,
then from above and from below. In each view the prior fills the part that no earlier view has shown
(`prior3d.dataset_update.inpaint_views`). Texels that remain take the colour of the nearest known texel; a metric counts
them.

A mesh may have a texture already, baked from a coarse NeRF. With `inpaint.strength` below 1 the prior starts from a
render of this texture instead of noise alone, so the sides stay close to the NeRF. Without a texture it starts from the
nearest known colours. The texture of a symmetric completion is whole: there the prior paints nothing.
"""

from typing import ClassVar

from prior3d.settings.distillation import PromptSettings
from prior3d.settings.inpainting import InpaintCameraSettings, InpaintViewSettings
from stages.artifacts import CONCEPT, OBJECT_IMAGE, PAINTABLE_MESH, PARTIAL_TEXTURE, PRIOR, PROMPT
from stages.contract.parameters import EngineParams


class Params(EngineParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    views: InpaintCameraSettings = InpaintCameraSettings()
    prompting: PromptSettings = PromptSettings()
    inpaint: InpaintViewSettings = InpaintViewSettings()

    renamed: ClassVar[dict[str, str]] = {
        "guidance_scale": "inpaint.guidance_scale",
        "denoising_steps": "inpaint.num_inference_steps",
        "noise_level": "inpaint.strength",
        "negative_prompt": "prompting.negative_prompt",
        "view_words": "prompting.view_words",
        "front_deg": "prompting.front_deg",
        "overhead_deg": "prompting.overhead_deg",
        "camera_conditioning": "prompting.camera_conditioning",
        "azimuth_step_deg": "views.azimuth_step_deg",
        "elevation_deg": "views.elevation_deg",
        "upper_deg": "views.upper_elevation_deg",
        "lower_deg": "views.lower_elevation_deg",
        "squareness": "inpaint.view_angle_exponent",
        "photograph_weight": "inpaint.image_weight",
        "renewal": "inpaint.repaint_ratio",
        "drawn_share": "inpaint.blend_weight",
        "smallest_hole": "inpaint.min_hole_fraction",
        "seam_steps": "inpaint.seam_steps",
        "supersampling": "inpaint.supersampling",
    }


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"inpaint": {"guidance_scale": 7.5, "num_inference_steps": 50}}}
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
