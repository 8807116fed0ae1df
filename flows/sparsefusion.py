"""SparseFusion: a textured 3D object from one to ten posed images.

    images --> [ view_preparation ]  square cut-outs about the object, cameras and scale normalised; the rest held out
                     |
               [ view_symmetry ]  mirror planes of the object, if there are such: then every input counts twice
                     |
    prior  --> [ view_features ]  what the prior's feature transformer predicts of a ring; how far to trust it
                     |
               [ view_sampling ]  novel views drawn one by one from the diffusion model, for looking at
                     |
               [ view_distillation ]  one field that shows the inputs, and between them what the prior holds likely
                     |
               [ mesh_extraction ]  the field's surface as triangles
                     |
               [ texture_baking ]  the field's colours in the mesh's texture atlas
                     |
               [ evaluation ]  turntables, measurements on the held-out images, the report

Source: Zhou and Tulsiani, SparseFusion: Distilling View-conditioned Diffusion for 3D Reconstruction, CVPR 2023,
figure 2; written from the description alone. `view_symmetry` is not of the paper.
"""

from flows.engine.method import Method, Stage
from flows.inputs import POSED_IMAGES, VIEWS_PRIOR

METHOD = Method(
    name="sparsefusion",
    summary="a textured 3D object from one to ten posed images of it",
    inputs=(POSED_IMAGES, VIEWS_PRIOR),
    stages=(
        Stage("view_preparation", {"images": "images"}),
        Stage("view_symmetry", {"views": "view_preparation"}, gpu=True),
        Stage(
            "view_features",
            {"views": "view_preparation", "symmetry": "view_symmetry", "prior": "prior"},
            gpu=True,
        ),
        Stage("view_sampling", {"views": "view_preparation", "features": "view_features", "prior": "prior"}, gpu=True),
        Stage(
            "view_distillation",
            {"views": "view_preparation", "symmetry": "view_symmetry", "features": "view_features", "prior": "prior"},
            gpu=True,
        ),
        Stage("mesh_extraction", {"field": "view_distillation"}, gpu=True),
        Stage("texture_baking", {"mesh": "mesh_extraction", "field": "view_distillation"}, gpu=True),
        Stage(
            "evaluation",
            {"mesh": "texture_baking", "field": "view_distillation", "views": "view_preparation"},
            gpu=True,
        ),
    ),
    example="prior3d run sparsefusion --images captures/mug --set view_preparation.n_inputs=3 --name mug",
)
