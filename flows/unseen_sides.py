"""The stages of `quick` that methods of one image begin with: the sides that the image does not show.

With the `toy` preset they are there by themselves. The papers have none of them, nor has the preset `paper`.
"""

from flows.engine.method import Stage

UNSEEN_SIDES = (
    Stage(
        "image_captioning",
        {
            "image": "image_preparation",
            "camera": "camera",
            "prompt": "prompt",
            "prior": "joint_prior",
            "scorer": "scorer",
        },
        gpu=True,
        optional=True,
        otherwise="image_preparation",
    ),
    Stage(
        "joint_views",
        {"prompt": "prompt", "caption": "image_captioning", "image": "image_captioning", "prior": "joint_prior"},
        gpu=True,
        optional=True,
        on_with="toy",
        brings=("image_captioning", "view_fit"),
    ),
    Stage("view_fit", {"views": "joint_views"}, gpu=True, optional=True, brings=("joint_views",)),
)
