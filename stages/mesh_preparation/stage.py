"""The body of mesh_preparation; the package says what it takes, gives and is set by."""

import numpy as np

from prior3d.cameras import orbit_cameras, ring
from prior3d.images.files import write_png
from prior3d.meshes.mesh import UvMesh, open_edge_fraction
from prior3d.meshes.painted_files import save_uv_mesh
from prior3d.meshes.raster import render_mesh
from prior3d.meshes.uv import AtlasLimits, ensure_uv
from stages.artifacts.mesh_input import read_and_place, report_repairs
from stages.contract.job import Job
from stages.mesh_preparation import Params

STEPS = 3
SLOW_FACES = 20_000


def run(job: Job, params: Params) -> None:
    """Read, place, and look at the UVs."""
    given, placement, notes = read_and_place(job, "mesh", params, params.lift)
    n = len(given.faces)
    job.progress(1, STEPS, text=f"UVs of {n:,} faces" + (", which take a while" if n > SLOW_FACES else ""))
    limits = AtlasLimits(params.atlas_faces, params.simple_faces)
    mesh, fault, charts = ensure_uv(given, placement, params.chart_resolution, params.keep_uv, limits)
    if fault is not None:
        notes.append(f"{fault}: a new atlas of {charts} charts")
    report_repairs(job, notes, 2, STEPS)
    save_uv_mesh(job.out, mesh)
    job.metric("vertices", len(mesh.vertices), "vertices")
    job.metric("faces", len(mesh.faces), "faces")
    job.metric("uv_kept", float(fault is None), "yes/no")
    job.metric("charts", charts, "charts", higher_is_better=False)
    job.metric("open_edges", open_edge_fraction(mesh.vertices, mesh.faces), "of edges", n=len(mesh.faces))
    job.metric("repairs", len(notes), "repairs", higher_is_better=False)
    write_png(job.out / "preview.png", checks(mesh))
    job.progress(STEPS, STEPS, text=f"{len(mesh.faces):,} faces, " + ("own UVs" if fault is None else "new UVs"))


def checks(mesh: UvMesh):
    """The mesh from four sides with a chequered texture, which shows how its UVs lie."""
    row, column = np.mgrid[0:256, 0:256]
    squares = ((row // 8 + column // 8) % 2)[..., None] * 0.4 + 0.1
    tint = np.stack([column / 255, row / 255, 1 - column / 255], -1) * 0.5
    drawn = render_mesh(
        mesh.split(mesh.world_vertices(), (squares + tint).astype(np.float32)), orbit_cameras(ring(4), 128, 128)
    )
    return np.concatenate(list(drawn.rgb), 1)
