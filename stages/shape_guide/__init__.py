"""A person's rough shape, made ready to guide a field: placed in the world, inside and distance on a grid.

Metzer et al. 2023, section 3.3: the shape is centred and scaled; its winding number says what is inside, also of shapes
with holes, and near its surface it does not bind.
"""

from pydantic import Field

from stages.artifacts import MESH_FILE, SHAPE_GUIDE
from stages.contract.parameters import MeshParams


class Params(MeshParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    resolution: int = Field(
        65, ge=9, le=257, description="nodes of the grid along an axis", json_schema_extra={"unit": "nodes"}
    )
    max_faces: int = Field(1_000_000, ge=100, description="a shape with more faces is decimated")
    decimated_faces: int = Field(100_000, ge=100, description="to this many")
    n_directions: int = Field(
        48, ge=1, le=1000, description="rays a node for the winding number of a shape with holes; closed ones take 4"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"radius": 0.7, "centre": "vertices", "resolution": 129}}
INPUTS = {"shape": MESH_FILE}
OUTPUT = SHAPE_GUIDE
