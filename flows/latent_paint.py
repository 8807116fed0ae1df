"""Latent-Paint: a person's mesh, painted from a sentence.

    mesh --> [ mesh_preparation ]  its own UVs if they are good, else an atlas; where it stands in the world
                     |
    prompt --> [ latent_paint ]  a texture of the prior's latents, by score distillation of its renders
                     |
               [ texture_refinement ]  the same texture in colour, refined
                     |
               [ evaluation ]  turntables, measurements, the report

Source: Metzer et al., Latent-NeRF for Shape-Guided Generation of 3D Shapes and Textures, CVPR 2023, section 3.4.
"""

from flows.engine.method import Method, Stage
from flows.inputs import CONCEPT, MESH, PRIOR, PROMPT
from stages.contract.presets import PAPER_EVALUATION

METHOD = Method(
    name="latent-paint",
    summary="a person's mesh with a texture made from a sentence; its geometry stays as it is",
    inputs=(PROMPT, MESH, PRIOR, CONCEPT),
    stages=(
        Stage("mesh_preparation", {"mesh": "mesh"}),
        Stage(
            "latent_paint",
            {"mesh": "mesh_preparation", "prompt": "prompt", "prior": "prior", "concept": "concept"},
            gpu=True,
        ),
        Stage(
            "texture_refinement",
            {
                "mesh": "mesh_preparation",
                "texture": "latent_paint",
                "prompt": "prompt",
                "prior": "prior",
                "concept": "concept",
            },
            gpu=True,
        ),
        Stage("evaluation", {"mesh": "texture_refinement", "prompt": "prompt"}, gpu=True),
    ),
    presets={"paper": PAPER_EVALUATION},
    example='prior3d run latent-paint --prompt "a brown teddy bear" --mesh teddy.obj --name painted-teddy',
)
