"""Retexture: a person's mesh, painted with an image where it shows the mesh, and by diffusion elsewhere.

    mesh --> [ mesh_preparation ]  its own UVs if they are good, else an atlas; where it stands in the world
    image --> [ image_preparation ]  cut out, with the camera that sees it so
                     |
               [ texture_projection ]  the image's pixels on the texels that its camera sees
                     |
               [ inpainting ]  the other texels, view by view round the object
                     |
               [ texture_refinement ]  the whole texture, held where the image showed it
                     |
               [ evaluation ]  turntables, measurements, the report

Source: the second stage of Tang et al., Make-It-3D, ICCV 2023, with a mesh in place of its point cloud.
"""

from flows.engine.method import Method, Stage
from flows.inputs import CAMERA, IMAGE, INPAINTING_PRIOR, MASK, MESH, OPTIONAL_PROMPT, PRIOR
from stages.contract.presets import MAKE_IT_3D_TEXTURE, MAKE_IT_3D_VIEWS, merged

METHOD = Method(
    name="retexture",
    summary="a person's mesh with the texture that an image shows, continued where the image shows nothing",
    inputs=(MESH, IMAGE, CAMERA, MASK, OPTIONAL_PROMPT, PRIOR, INPAINTING_PRIOR),
    stages=(
        Stage("mesh_preparation", {"mesh": "mesh"}),
        Stage("image_preparation", {"image": "image", "mask": "mask", "camera": "camera"}),
        Stage("texture_projection", {"mesh": "mesh_preparation", "image": "image_preparation"}, gpu=True),
        Stage(
            "inpainting",
            {
                "mesh": "mesh_preparation",
                "texture": "texture_projection",
                "image": "image_preparation",
                "prompt": "prompt",
                "prior": "inpainting_prior",
            },
            gpu=True,
        ),
        Stage(
            "texture_refinement",
            {
                "mesh": "mesh_preparation",
                "paint": "inpainting",
                "image": "image_preparation",
                "prompt": "prompt",
                "prior": "prior",
            },
            gpu=True,
        ),
        Stage("evaluation", {"mesh": "texture_refinement", "prompt": "prompt", "image": "image_preparation"}, gpu=True),
    ),
    presets={
        # The paint already shows the object: views that are refreshed from much noise would only blur it.
        "toy": {"texture_refinement": {"refresh": {"strengths": (0.3,)}, "steps": 60}},
        # The image shows the mesh where every method puts one: Latent-Paint's own size and place do not fit it.
        "paper": {
            "mesh_preparation": {"radius": 0.95, "centre": "box"},
            "inpainting": {"inpaint": {"strength": 0.6}},
            "texture_refinement": merged(MAKE_IT_3D_TEXTURE, {"views": MAKE_IT_3D_VIEWS}),
        },
    },
    example='prior3d run retexture --mesh mug.obj --image mug.png --camera 30,15,40 --prompt "a red mug" --name my-mug',
)
