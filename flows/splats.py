"""Gaussian splats that another program made: a file to a run that can be looked at, meshed, exported and compared.

splats --> [ splat_import ]  read, checked, put into the unit box
                 |
           [ mesh_extraction ]  depths of images from all round, fused
                 |
           [ texture_baking ]  the colours of these images in the mesh's texture atlas
                 |
           [ evaluation ]  turntables, measurements, the report
"""

from flows.engine.method import Method, Stage
from flows.inputs import SPLATS

METHOD = Method(
    name="splats",
    summary="a file of Gaussian splats as a run: its page, a textured mesh, other formats",
    inputs=(SPLATS,),
    stages=(
        Stage("splat_import", {"splats": "splats"}, gpu=True),
        Stage("mesh_extraction", {"field": "splat_import"}, gpu=True),
        Stage("texture_baking", {"mesh": "mesh_extraction", "field": "splat_import"}, gpu=True),
        Stage("evaluation", {"mesh": "texture_baking", "field": "splat_import"}, gpu=True),
    ),
    example="prior3d run splats --splats mug.ply --name mug",
)
