"""Make-It-3D: one image to a 3D object whose visible side is made of the image's own pixels.

    image --> [ image_preparation ]  the object cut out, square, with its camera; its depth, if it is given
                     |
               [ image_captioning ]  what it is, in words; from where it was taken; whether a joint-view prior knows it
                     |
               [ joint_views ]  its other sides as that prior draws them; of an unknown thing a completed body
                     |
               [ view_fit ]  a field fitted to these views: the start
                     |
               [ textual_inversion ]  a word of the prior's that means this object
                     |
               [ image_nerf ]  a field that matches image, drawn views and prior; in the paper first seen from the front
                     |
               [ mesh_extraction ]  the field's surface as triangles
                     |
               [ texture_baking ]  the field's colours on it, a first guess of the sides
                     |
               [ texture_projection ]  the image's pixels on the texels that its camera sees
                     |
               [ inpainting ]  the other texels, view by view round the object
                     |
               [ texture_refinement ]  the whole texture, held where the image showed it
                     |
               [ evaluation ]  turntables, measurements, the report

Source: Tang et al., Make-It-3D: High-Fidelity 3D Creation from A Single Image with Diffusion Prior, ICCV 2023.
The mesh takes the place of its point cloud (see docs/pictures_on_meshes.md). The second to the fourth stage are those
of `quick`; the paper has none of them, nor has its preset.
"""

import math

from flows.engine.method import Method, Stage
from flows.inputs import (
    DEPTH,
    FROM_AFAR,
    IMAGE,
    INPAINTING_PRIOR,
    MASK,
    OPTIONAL_CAMERA,
    OPTIONAL_PROMPT,
    PRIOR,
    SCORER,
    UNSEEN_PRIOR,
)
from flows.unseen_sides import UNSEEN_SIDES
from stages.contract.presets import MAKE_IT_3D_SCALE, MAKE_IT_3D_TEXTURE, MAKE_IT_3D_VIEWS, merged, paper_weight

METHOD = Method(
    name="make-it-3d",
    summary="one image to a whole textured 3D object; the side that the image shows keeps the image's pixels",
    inputs=(IMAGE, OPTIONAL_PROMPT, MASK, OPTIONAL_CAMERA, DEPTH, PRIOR, UNSEEN_PRIOR, INPAINTING_PRIOR, SCORER),
    stages=(
        Stage("image_preparation", {"image": "image", "mask": "mask", "depth": "depth", "camera": "camera"}),
        *UNSEEN_SIDES,
        Stage(
            "textual_inversion",
            {
                "image": "image_captioning",
                "prompt": "prompt",
                "prior": "prior",
                "scorer": "scorer",
                "start": "view_fit",
            },
            gpu=True,
        ),
        Stage(
            "image_nerf",
            {
                "image": "image_captioning",
                "prior": "prior",
                "concept": "textual_inversion",
                "prompt": "prompt",
                "scorer": "scorer",
                "drawn": "joint_views",
                "start": "view_fit",
            },
            gpu=True,
        ),
        Stage("mesh_extraction", {"field": "image_nerf", "image": "image_captioning"}, gpu=True),
        Stage(
            "texture_baking",
            {"mesh": "mesh_extraction", "field": "image_nerf", "image": "image_captioning", "views": "joint_views"},
            gpu=True,
        ),
        Stage("texture_projection", {"mesh": "texture_baking", "image": "image_captioning"}, gpu=True),
        Stage(
            "inpainting",
            {
                "mesh": "texture_baking",
                "texture": "texture_projection",
                "image": "image_captioning",
                "prompt": "prompt",
                "concept": "textual_inversion",
                "prior": "inpainting_prior",
            },
            gpu=True,
        ),
        Stage(
            "texture_refinement",
            {
                "mesh": "texture_baking",
                "paint": "inpainting",
                "image": "image_captioning",
                "prompt": "prompt",
                "concept": "textual_inversion",
                "prior": "prior",
            },
            gpu=True,
        ),
        Stage(
            "evaluation",
            {
                "mesh": "texture_refinement",
                "field": "image_nerf",
                "prompt": "prompt",
                "image": "image_captioning",
                "caption": "image_captioning",
                "drawn": "joint_views",
            },
            gpu=True,
            never_otherwise=("caption",),
        ),
    ),
    presets={
        "toy": {
            "image_preparation": FROM_AFAR,
            "image_nerf": {"mirror": {"weight": 0.5}, "reference": {"depth_weight": 0.2}},
            "inpainting": {"inpaint": {"strength": 0.3, "blend_weight": 0.3}},
            "texture_refinement": {"refresh": {"strengths": (0.2,)}, "steps": 60, "resolution": 512},
        },
        # The first 400 of 5,000 steps are without SDS, which is between 0.2 and 0.6 T at a guidance scale of 11; a
        # quarter of the steps fits the image alone; 2,000 steps are from the front.
        "paper": {
            "image_preparation": {"fov_deg": 20.0},
            "image_nerf": {
                "sds": {
                    "guidance_scale": 11.0,
                    "timestep_min": 0.2,
                    "timestep_max": 0.6,
                    "timestep_max_end": 0.6,
                    "starts_at": 0.08,
                },
                "views": MAKE_IT_3D_VIEWS | {"hemisphere": 0.0},
                "prompting": {"template": "{}", "view_words": False, "name_background": False},
                "field": {
                    "tiled_log2_entries": 19,
                    "tiled_finest": 310,  # as fine beside the object as 2,048 cells there
                    "blob_radius": 0.1 * MAKE_IT_3D_SCALE,
                    "density_bias": -math.log(MAKE_IT_3D_SCALE),  # rays through the object are longer by so much
                },
                "front_first": {"until": 0.4},
                "clip": {
                    "weight": paper_weight("make-it-3d clip"),
                    "denoised_weight": paper_weight("make-it-3d clip-d"),
                    "replaces_sds": True,
                },
                "reference": {
                    "loss": "absolute",
                    "weight": paper_weight("make-it-3d colour"),
                    "mask_weight": 0.0,
                    "depth_weight": paper_weight("make-it-3d depth"),
                    "entropy": False,
                    "alone_every": 4,
                },
                "normals": {
                    "orientation_weight": paper_weight("make-it-3d orientation"),
                    "smoothness_weight": 0.0,
                    "shading": {"starts_at": 0.2, "textureless": 0.1, "lambertian": 0.4},
                },
                "surface": {"entropy_weight": paper_weight("make-it-3d entropy")},
                "optimiser": {"max_gradient_norm": paper_weight("make-it-3d gradient")},
            },
            "inpainting": {"inpaint": {"strength": 0.6}},
            "texture_refinement": merged(MAKE_IT_3D_TEXTURE, {"views": MAKE_IT_3D_VIEWS}),
        },
    },
    example="prior3d run make-it-3d --image teddy.png --camera 30,15,40 --name teddy",
)
