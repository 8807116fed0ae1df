"""A person's mesh, made ready to be painted: UVs that a texture fits on, and where it stands in the world.

Metzer et al. 2023, section 3.4: its own UVs serve if it has them, else an atlas is made (xatlas). Its geometry is not
touched: positions, their order and its triangles stay those of the file, at any size.
"""

from typing import ClassVar

from pydantic import Field

from stages.artifacts import MESH_FILE, UV_MESH
from stages.contract.parameters import MeshParams


class Params(MeshParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    renamed: ClassVar[dict[str, str]] = {"max_faces": "atlas_faces", "decimated_faces": "simple_faces"}

    lift: float = Field(
        0.0, ge=-1, le=1, description="how far it is raised once scaled", json_schema_extra={"unit": "world units"}
    )
    keep_uv: bool = Field(True, description="keep the file's own UVs if they are good")
    chart_resolution: int = Field(
        256, ge=32, le=8192, description="texture that new charts are packed for", json_schema_extra={"unit": "texels"}
    )
    atlas_faces: int = Field(
        30_000, ge=100, le=200_000, description="a mesh with more faces and no good UVs gets those of a simpler surface"
    )
    simple_faces: int = Field(
        15_000, ge=100, le=100_000, description="faces of the simpler surface that is unwrapped in its place"
    )


PRESETS: dict[str, dict] = {
    "toy": {},
    # Latent-Paint's code lifts the mesh by 0.25 and turns its cameras to it; here both stay about the origin
    "paper": {"radius": 0.6, "centre": "vertices", "chart_resolution": 1024},
}
INPUTS = {"mesh": MESH_FILE}
OUTPUT = UV_MESH
