"""Quick: a textured 3D object from a sentence, one image, or a few posed images, in well under a minute.

    image  --> [ image_preparation ]  the object cut out, square, with its camera            (only with --image)
    images --> [ view_preparation ]  square cut-outs about the object, cameras normalised    (only with --images)
                     |
               [ image_captioning | captioning ]  what it is, in words, and whether the prior knows such things;
                     |                            from where the image was taken, if nobody said it
                     |
    prompt --> [ joint_views ]  views from all round, drawn together by a joint-view prior
                     |
               [ view_fit ]  a field fitted to the views, and to the given images, from noise
                     |
               [ mesh_extraction ]  the field's surface as triangles
                     |
               [ texture_baking ]  the field's colours on it, then the pixels of the images that it was fitted to
                     |
               [ evaluation ]  turntables, measurements, the report

Sources: Shi et al., MVDream: Multi-view Diffusion for 3D Generation, ICLR 2024, for views drawn together; Gao et al.,
CAT3D: Create Anything in 3D with Multi-View Diffusion Models, NeurIPS 2024, for views drawn given others, then fitted.
"""

from flows.engine.method import Method, Stage
from flows.inputs import (
    FROM_AFAR,
    JOINT_VIEWS_PRIOR,
    MASK,
    NAMED_IS_KNOWN,
    OPTIONAL_CAMERA,
    OPTIONAL_IMAGE,
    OPTIONAL_POSED_IMAGES,
    OPTIONAL_PROMPT,
    SCORER,
)

GIVEN = ("image", "images")

METHOD = Method(
    name="quick",
    summary="a textured 3D object from a sentence, one image or a few posed ones, in well under a minute",
    inputs=(
        OPTIONAL_PROMPT,
        OPTIONAL_IMAGE,
        MASK,
        OPTIONAL_CAMERA,
        OPTIONAL_POSED_IMAGES,
        JOINT_VIEWS_PRIOR,
        SCORER,
    ),
    one_of=("prompt", *GIVEN),
    apart=GIVEN,
    stages=(
        Stage("image_preparation", {"image": "image", "mask": "mask", "camera": "camera"}, brought_by=("image",)),
        Stage("view_preparation", {"images": "images"}, brought_by=("images",)),
        Stage(
            "image_captioning",
            {
                "image": "image_preparation",
                "camera": "camera",
                "prompt": "prompt",
                "prior": "prior",
                "scorer": "scorer",
            },
            gpu=True,
            brought_by=("image",),
        ),
        Stage(
            "captioning",
            {"views": "view_preparation", "prompt": "prompt", "prior": "prior", "scorer": "scorer"},
            gpu=True,
            brought_by=("images",),
            otherwise="image_captioning",
        ),
        Stage(
            "joint_views",
            {
                "prompt": "prompt",
                "caption": "captioning",
                "image": "image_captioning",
                "views": "view_preparation",
                "prior": "prior",
            },
            gpu=True,
        ),
        Stage("view_fit", {"views": "joint_views", "posed": "view_preparation"}, gpu=True),
        Stage("mesh_extraction", {"field": "view_fit", "image": "image_captioning"}, gpu=True),
        Stage(
            "texture_baking",
            {"mesh": "mesh_extraction", "field": "view_fit", "image": "image_captioning", "views": "joint_views"},
            gpu=True,
        ),
        Stage(
            "evaluation",
            {
                "mesh": "texture_baking",
                "field": "view_fit",
                "prompt": "prompt",
                "image": "image_captioning",
                "views": "view_preparation",
                "caption": "captioning",
                "drawn": "joint_views",
            },
            gpu=True,
        ),
    ),
    presets={
        "paper": {
            "image_preparation": FROM_AFAR,
            "image_captioning": NAMED_IS_KNOWN,
            "captioning": NAMED_IS_KNOWN,
        },
        "toy": {
            "image_preparation": FROM_AFAR,
            "mesh_extraction": {"n_azimuths": 6, "outline_steps": 60},
            "texture_baking": {"resolution": 256},
            "evaluation": {"size": 96, "n_samples": 48, "video_frames": 24, "video_size": 192},
        },
    },
    example='prior3d run quick --prompt "a red mushroom with white dots" --name mushroom',
)
