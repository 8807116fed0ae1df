"""Sketch-Shape: a textured 3D object from a sentence and a rough shape.

    shape --> [ shape_guide ]  placed in the world; inside and distance on a grid
                     |
    prompt --> [ coarse_nerf ]  Latent-NeRF's field, drawn towards the shape but free near its surface
                     |
               [ rgb_refinement ]  the same field in colour, still drawn towards the shape
                     |
               [ mesh_extraction ]  the field's surface as triangles
                     |
               [ texture_baking ]  the field's colours in the mesh's texture atlas
                     |
               [ evaluation ]  turntables, measurements, how much of the shape was kept

Source: Metzer et al., Latent-NeRF for Shape-Guided Generation of 3D Shapes and Textures, CVPR 2023, figure 4.
"""

from flows.engine.method import Method, Stage
from flows.inputs import CONCEPT, JOINT_PRIOR, PRIOR, PROMPT, SHAPE
from stages.contract.presets import PAPER_EVALUATION

METHOD = Method(
    name="sketch-shape",
    summary="a textured 3D object from a sentence and a rough shape that it follows",
    inputs=(PROMPT, SHAPE, PRIOR, JOINT_PRIOR, CONCEPT),
    stages=(
        Stage("shape_guide", {"shape": "shape"}),
        Stage(
            "coarse_nerf",
            {
                "prompt": "prompt",
                "prior": "prior",
                "joint_prior": "joint_prior",
                "shape": "shape_guide",
                "concept": "concept",
            },
            gpu=True,
            only_kinds=("grid",),  # a rough shape holds densities, which splats have not
        ),
        Stage(
            "rgb_refinement",
            {
                "field": "coarse_nerf",
                "prompt": "prompt",
                "prior": "prior",
                "shape": "shape_guide",
                "concept": "concept",
            },
            gpu=True,
        ),
        Stage("mesh_extraction", {"field": "rgb_refinement"}, gpu=True),
        Stage("texture_baking", {"mesh": "mesh_extraction", "field": "rgb_refinement"}, gpu=True),
        Stage(
            "evaluation",
            {"mesh": "texture_baking", "field": "rgb_refinement", "prompt": "prompt", "shape": "shape_guide"},
            gpu=True,
        ),
    ),
    presets={
        # Views that are re-made from much noise take a form of their own.
        "toy": {"rgb_refinement": {"refresh": {"strengths": (0.4, 0.3, 0.2)}}},
        # The shape's loss is a sum over rays, of which the latent field has one a latent: for fewer latents both sums
        # are smaller, so two means keep their balance.
        "paper": {"coarse_nerf": {"sds": {"elements": 0}}, **PAPER_EVALUATION},
    },
    example='prior3d run sketch-shape --prompt "a brown teddy bear" --shape teddy.obj --name teddy',
)
