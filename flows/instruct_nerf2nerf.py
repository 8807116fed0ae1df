"""Instruct-NeRF2NeRF: a captured scene, changed by an instruction.

    photos --> [ pose_estimation ]  where they were taken from, by COLMAP         (only with --photos)
                     |
    scene --> [ scene_preparation ]  cameras moved into the world's frame, images resized and undistorted
                     |
               [ scene_fit ]  a radiance field of the capture; every edit of it begins with the same one
                     |
    instruction --> [ dataset_update ]  images replaced one by one by edits of the field's renders, while it is fitted
                     |
               [ capture_path ]  before and after, along the capture's path
                     |
               [ mesh_extraction ]  the surface of what is in the unit box
                     |
               [ texture_baking ]  the field's colours in the mesh's texture atlas
                     |
               [ evaluation ]  turntables, measurements, the report

Source: Haque et al., Instruct-NeRF2NeRF: Editing 3D Scenes with Instructions, ICCV 2023, figure 2. With
`--set scene_fit.kind=splats` all stages go on with Gaussian splats, after Instruct-GS2GS (Vachha and Haque 2024).
"""

from flows.engine.method import Method, Stage
from flows.inputs import CAPTURE, INSTRUCT_PRIOR, INSTRUCTION, PHOTOS
from flows.scene import FITTING, POSED_OR_NOT

METHOD = Method(
    name="instruct-nerf2nerf",
    summary="a captured scene changed by an instruction, so that every view agrees",
    inputs=(CAPTURE, PHOTOS, INSTRUCTION, INSTRUCT_PRIOR),
    stages=(
        *FITTING,
        Stage(
            "dataset_update",
            {"field": "scene_fit", "images": "scene_preparation", "instruction": "instruction", "prior": "prior"},
            gpu=True,
        ),
        Stage(
            "capture_path",
            {"field": "dataset_update", "images": "scene_preparation", "before": "scene_fit"},
            gpu=True,
        ),
        Stage("mesh_extraction", {"field": "dataset_update"}, gpu=True),
        Stage("texture_baking", {"mesh": "mesh_extraction", "field": "dataset_update"}, gpu=True),
        Stage("evaluation", {"mesh": "texture_baking", "field": "dataset_update", "prompt": "instruction"}, gpu=True),
    ),
    one_of=POSED_OR_NOT,
    apart=POSED_OR_NOT,
    example='prior3d run instruct-nerf2nerf --scene captures/house --instruction "make the roof red" --name red-roof',
)
