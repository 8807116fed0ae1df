"""Latent-NeRF: a textured 3D object from a sentence.

    prompt --> [ coarse_nerf ]  a radiance field of the prior's latents, by score distillation
                     |
               [ rgb_refinement ]  the same field in colour: a linear map of latents to RGB, then refined
                     |
               [ mesh_extraction ]  the field's surface as triangles
                     |
               [ texture_baking ]  the field's colours in the mesh's texture atlas
                     |
               [ evaluation ]  turntables, measurements, the report

Source: Metzer et al., Latent-NeRF for Shape-Guided Generation of 3D Shapes and Textures, CVPR 2023, figure 3.
"""

from flows.engine.method import Method, Stage
from flows.inputs import CONCEPT, JOINT_PRIOR, PRIOR, PROMPT
from stages.contract.presets import PAPER_EVALUATION

METHOD = Method(
    name="latent-nerf",
    summary="a textured 3D object from a sentence, by score distillation in a prior's latent space",
    inputs=(PROMPT, PRIOR, JOINT_PRIOR, CONCEPT),
    stages=(
        Stage(
            "coarse_nerf",
            {"prompt": "prompt", "prior": "prior", "joint_prior": "joint_prior", "concept": "concept"},
            gpu=True,
        ),
        Stage(
            "rgb_refinement",
            {"field": "coarse_nerf", "prompt": "prompt", "prior": "prior", "concept": "concept"},
            gpu=True,
        ),
        Stage("mesh_extraction", {"field": "rgb_refinement"}, gpu=True),
        Stage("texture_baking", {"mesh": "mesh_extraction", "field": "rgb_refinement"}, gpu=True),
        Stage("evaluation", {"mesh": "texture_baking", "field": "rgb_refinement", "prompt": "prompt"}, gpu=True),
    ),
    presets={"paper": PAPER_EVALUATION},
    example='prior3d run latent-nerf --prompt "a red mushroom with white dots" --name mushroom',
)
