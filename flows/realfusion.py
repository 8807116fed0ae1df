"""RealFusion: one image to a whole 3D object.

    image --> [ image_preparation ]  the object cut out, square, with its camera
                     |
               [ image_captioning ]  what it is, in words; from where it was taken; whether a joint-view prior knows it
                     |
               [ joint_views ]  its other sides as that prior draws them; of an unknown thing a completed body
                     |
               [ view_fit ]  a field fitted to these views: the start
                     |
               [ textual_inversion ]  a word of the prior's that means this object
                     |
               [ image_nerf ]  a field that matches the image from its camera, the drawn views, and the prior
                     |
               [ mesh_extraction ]  the field's surface as triangles
                     |
               [ texture_baking ]  the field's colours in the mesh's texture atlas, then the pixels of all views
                     |
               ( texture_projection, inpainting, texture_refinement )  only if asked for: Make-It-3D's second stage
                     |
               [ evaluation ]  turntables, measurements, the report

The second to the fourth stage are those of `quick`; the paper has none of them, nor has its preset.
Source: Melas-Kyriazi et al., RealFusion: 360 Reconstruction of Any Object from a Single Image, CVPR 2023, figure 3.
"""

from flows.engine.method import Method, Stage
from flows.inputs import (
    DEPTH,
    FROM_AFAR,
    IMAGE,
    INPAINTING_PRIOR,
    MASK,
    NORMAL,
    OPTIONAL_CAMERA,
    OPTIONAL_PROMPT,
    PRIOR,
    SCORER,
    UNSEEN_PRIOR,
)
from flows.unseen_sides import UNSEEN_SIDES
from stages.contract.presets import MAKE_IT_3D_TEXTURE, PAPER_EVALUATION, REALFUSION_VIEWS, merged

METHOD = Method(
    name="realfusion",
    summary="one image to a whole textured 3D object, by textual inversion and score distillation",
    inputs=(
        IMAGE, OPTIONAL_PROMPT, MASK, OPTIONAL_CAMERA, DEPTH, NORMAL, PRIOR, UNSEEN_PRIOR, INPAINTING_PRIOR, SCORER,
    ),
    stages=(
        Stage(
            "image_preparation",
            {"image": "image", "mask": "mask", "depth": "depth", "normal": "normal", "camera": "camera"},
        ),
        *UNSEEN_SIDES,
        Stage(
            "textual_inversion",
            {
                "image": "image_captioning", "prompt": "prompt", "prior": "prior", "scorer": "scorer",
                "start": "view_fit",
            },
            gpu=True,
        ),
        Stage(
            "image_nerf",
            {
                "image": "image_captioning", "prior": "prior", "concept": "textual_inversion", "drawn": "joint_views",
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
        Stage(
            "texture_projection", {"mesh": "texture_baking", "image": "image_captioning"}, gpu=True, optional=True,
            brings=("texture_refinement",),
        ),
        Stage(
            "inpainting",
            {
                "mesh": "texture_baking", "texture": "texture_projection", "image": "image_captioning",
                "concept": "textual_inversion", "prior": "inpainting_prior",
            },
            gpu=True, optional=True, brings=("texture_projection",), otherwise="texture_projection",
        ),
        Stage(
            "texture_refinement",
            {
                "mesh": "texture_baking", "paint": "inpainting", "image": "image_captioning",
                "concept": "textual_inversion", "prior": "prior",
            },
            gpu=True, optional=True, brings=("texture_projection",), otherwise="texture_baking",
        ),
        Stage(
            "evaluation",
            {
                "mesh": "texture_refinement", "field": "image_nerf", "image": "image_captioning",
                "caption": "image_captioning", "drawn": "joint_views",
            },
            gpu=True, never_otherwise=("caption",),
        ),
    ),
    presets={
        "toy": {
            "image_preparation": FROM_AFAR,
            "inpainting": {"inpaint": {"strength": 0.6}},
            "texture_refinement": {"refresh": {"strengths": (0.3,)}, "steps": 60},
        },
        # An object that fills three quarters of its image has the radius 0.47, which is as far as the field's first
        # blob reaches. The released code's own camera (1.8 away, 55 degrees) makes it 0.70: a ball of this size fills
        # 92 % of the views that distillation draws there, and half of the views wholly.
        "paper": {
            "image_preparation": {"fov_deg": 55.0, "frame_width": 1.25},
            "inpainting": {"inpaint": {"strength": 0.6}},
            "texture_refinement": merged(MAKE_IT_3D_TEXTURE, {"views": REALFUSION_VIEWS}),
            **PAPER_EVALUATION,
        },
    },
    example="prior3d run realfusion --image teddy.png --camera 30,15,40 --name teddy",
)  # fmt: skip
