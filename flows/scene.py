"""A captured scene: posed images to a radiance field, a mesh, and a video along the capture's path.

photos --> [ pose_estimation ]  where they were taken from, by COLMAP         (only with --photos)
                 |
scene --> [ scene_preparation ]  cameras moved into the world's frame, images resized and undistorted
                 |
           [ scene_fit ]  a radiance field, bounded or contracted; every tenth image held out and measured
                 |
           [ capture_path ]  a video along the capture's path
                 |
           [ mesh_extraction ]  the surface of what is in the unit box
                 |
           [ texture_baking ]  the field's colours in the mesh's texture atlas
                 |
           [ evaluation ]  turntables, measurements, the report
"""

from flows.engine.method import Method, Stage
from flows.inputs import CAPTURE, PHOTOS

POSED_OR_NOT = ("scene", "photos")
FITTING = (
    Stage("pose_estimation", {"photos": "photos"}, brought_by=("photos",), otherwise="scene"),
    Stage("scene_preparation", {"scene": "pose_estimation"}),
    Stage("scene_fit", {"images": "scene_preparation"}, gpu=True),
)
METHOD = Method(
    name="scene",
    summary="a captured scene as a radiance field, a mesh and a video, from photos with or without cameras",
    inputs=(CAPTURE, PHOTOS),
    stages=(
        *FITTING,
        Stage("capture_path", {"field": "scene_fit", "images": "scene_preparation"}, gpu=True),
        Stage("mesh_extraction", {"field": "scene_fit"}, gpu=True),
        Stage("texture_baking", {"mesh": "mesh_extraction", "field": "scene_fit"}, gpu=True),
        Stage("evaluation", {"mesh": "texture_baking", "field": "scene_fit"}, gpu=True),
    ),
    one_of=POSED_OR_NOT,
    apart=POSED_OR_NOT,
    example="prior3d run scene --scene captures/lego --name lego",
)
