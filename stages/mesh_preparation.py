"""A person's mesh, made ready to be painted: UVs that a texture fits on, and where it stands in the world.

Metzer et al. 2023, section 3.4: its own UVs serve if it has them, else an atlas is made (xatlas). Its geometry is not
touched: positions, their order and its triangles stay those of the file.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from stages import mesh_artifacts
from stages.entry import Job, main
from stages.mesh_input import MeshParams, read_and_place, say

if TYPE_CHECKING:
    from prior3d.meshes.uv import UvMesh

STEPS = 3


class Params(MeshParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    lift: float = Field(
        0.0, ge=-1, le=1, description="how far it is raised once scaled", json_schema_extra={"unit": "world units"}
    )
    keep_uv: bool = Field(True, description="keep the file's own UVs if they are good")
    chart_resolution: int = Field(
        256, ge=32, le=8192, description="texture that new charts are packed for", json_schema_extra={"unit": "texels"}
    )


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {"radius": 0.6, "centre": "vertices", "lift": 0.25, "chart_resolution": 1024},
}
INPUTS = {"mesh": mesh_artifacts.MeshFile}
OUTPUT = mesh_artifacts.UvMesh


def run(job: Job, params: Params) -> None:
    """Read, place, and look at the UVs."""
    from prior3d.images import write_png
    from prior3d.meshes.repair import open_edge_fraction
    from prior3d.meshes.uv import with_uv

    given, placement, notes = read_and_place(job, "mesh", params, params.lift)
    job.progress(1, STEPS, text="UVs")
    mesh, fault, charts = with_uv(given, placement, params.chart_resolution, params.keep_uv)
    if fault is not None:
        notes.append(f"{fault}: a new atlas of {charts} charts")
    say(job, notes, 2, STEPS)
    mesh_artifacts.UvMesh.save(job.out, mesh)
    job.metric("vertices", len(mesh.vertices), "vertices")
    job.metric("faces", len(mesh.faces), "faces")
    job.metric("uv_kept", float(fault is None), "yes/no")
    job.metric("charts", charts, "charts", higher_is_better=False)
    job.metric("open_edges", open_edge_fraction(mesh.vertices, mesh.faces), "of edges", n=len(mesh.faces))
    job.metric("repairs", len(notes), "repairs", higher_is_better=False)
    write_png(job.out / "preview.png", checks(mesh))
    job.progress(STEPS, STEPS, text=f"{len(mesh.faces):,} faces, " + ("own UVs" if fault is None else "new UVs"))


def checks(mesh: "UvMesh"):
    """The mesh from four sides with a chequered texture, which shows how its UVs lie."""
    import numpy as np

    from prior3d.cameras import orbit_cameras, ring
    from prior3d.meshes.raster import render_mesh

    row, column = np.mgrid[0:256, 0:256]
    squares = ((row // 8 + column // 8) % 2)[..., None] * 0.4 + 0.1
    tint = np.stack([column / 255, row / 255, 1 - column / 255], -1) * 0.5
    drawn = render_mesh(
        mesh.split(mesh.placed(), (squares + tint).astype(np.float32)), orbit_cameras(ring(4), 128, 128)
    )
    return np.concatenate(list(drawn.rgb), 1)


if __name__ == "__main__":
    main("stages.mesh_preparation")
