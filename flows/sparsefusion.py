"""SparseFusion: a textured 3D object from one to ten posed images.

    images --> [ view_preparation ]  square cut-outs about the object, cameras and scale normalised; the rest held out
                     |
               [ view_symmetry ]  mirror planes of the object, if there are such: then every input counts twice
                     |
    prior of joint views:                                       | prior of views, as in the paper:
               [ captioning ]  what it is, in words, and        |   [ view_features ]  what its feature transformer
                     |         whether the prior knows it       |         |            predicts of a ring
               [ joint_views ]  views from all round, drawn     |   [ view_sampling ]  novel views drawn one by one,
                     |          together given the inputs       |         |            for looking at
                     |
               [ view_distillation ]  one field that shows the inputs, and between them what the prior holds likely
                     |
               [ mesh_extraction ]  the field's surface as triangles
                     |
               [ texture_baking ]  the field's colours in the mesh's texture atlas, corrected by drawn and given pixels
                     |
               [ evaluation ]  turntables, measurements on the held-out images, the report

Source: Zhou and Tulsiani, SparseFusion: Distilling View-conditioned Diffusion for 3D Reconstruction, CVPR 2023,
figure 2; written from the description alone. `view_symmetry` is not of the paper, nor are joint views: those are after
Gao et al., CAT3D: Create Anything in 3D with Multi-View Diffusion Models, NeurIPS 2024.
"""

from flows.engine.method import Method, Stage
from flows.inputs import ANY_VIEWS_PRIOR, NAMED_IS_KNOWN, OPTIONAL_PROMPT, POSED_IMAGES, SCORER

IGNORED = {"joint_views": {"given": {"unknown_weight": 0.0}}}  # what is drawn of a thing that the prior does not know

METHOD = Method(
    name="sparsefusion",
    summary="a textured 3D object from one to ten posed images of it",
    inputs=(POSED_IMAGES, OPTIONAL_PROMPT, ANY_VIEWS_PRIOR, SCORER),
    stages=(
        Stage("view_preparation", {"images": "images"}),
        Stage("view_symmetry", {"views": "view_preparation"}, gpu=True),
        Stage(
            "view_features",
            {"views": "view_preparation", "symmetry": "view_symmetry", "prior": "prior"},
            gpu=True,
            for_role="views",
        ),
        Stage(
            "view_sampling",
            {"views": "view_preparation", "features": "view_features", "prior": "prior"},
            gpu=True,
            for_role="views",
        ),
        Stage(
            "captioning",
            {"views": "view_preparation", "prompt": "prompt", "prior": "prior", "scorer": "scorer"},
            gpu=True,
            for_role="joint_views",
        ),
        Stage(
            "joint_views",
            {"prompt": "prompt", "caption": "captioning", "views": "view_preparation", "prior": "prior"},
            gpu=True,
            for_role="joint_views",
        ),
        Stage(
            "view_distillation",
            {
                "views": "view_preparation",
                "symmetry": "view_symmetry",
                "features": "view_features",
                "caption": "captioning",
                "drawn": "joint_views",
                "prior": "prior",
            },
            gpu=True,
        ),
        Stage("mesh_extraction", {"field": "view_distillation"}, gpu=True),
        Stage(
            "texture_baking",
            {"mesh": "mesh_extraction", "field": "view_distillation", "views": "joint_views"},
            gpu=True,
        ),
        Stage(
            "evaluation",
            {
                "mesh": "texture_baking",
                "field": "view_distillation",
                "views": "view_preparation",
                "caption": "captioning",
                "drawn": "joint_views",
            },
            gpu=True,
        ),
    ),
    presets={"toy": IGNORED, "paper": IGNORED | {"captioning": NAMED_IS_KNOWN}},
    example="prior3d run sparsefusion --images captures/mug --set view_preparation.n_inputs=3 --name mug",
)
