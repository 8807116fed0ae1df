"""The body of shape_guide; the package says what it takes, gives and is set by."""

import numpy as np

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from prior3d.meshes.mesh import Mesh, open_edge_fraction
from prior3d.meshes.raster import render_mesh
from prior3d.meshes.repair import oriented
from prior3d.meshes.winding import build_guide
from stages.artifacts.mesh_input import read_and_place, report_repairs
from stages.artifacts.meshes import save_mesh
from stages.artifacts.shape_guide import save_shape_guide
from stages.contract.job import Job
from stages.shape_guide import Params

STEPS = 3
SMALLEST_VOLUME = 0.0005  # of the box; a ball of radius 0.1 has 0.0005


def run(job: Job, params: Params) -> None:
    """Read, place and measure the shape."""
    given, placement, notes = read_and_place(
        job, "shape", params, decimation=(params.max_faces, params.decimated_faces)
    )
    vertices, faces, n_turned = oriented(placement.to_world(given.vertices), given.faces)
    mesh = Mesh(vertices, faces)
    open_edges = open_edge_fraction(vertices, faces)
    if n_turned:
        notes.append(f"{n_turned} faces turned, so that all look outward")
    if open_edges:
        notes.append(f"not watertight: {open_edges:.1%} of its edges are open, so inside is where it winds half round")
    report_repairs(job, notes, 1, STEPS)
    job.progress(2, STEPS, text="inside and distance")
    guide = build_guide(mesh, params.resolution, n_directions=params.n_directions if open_edges else 4)
    inside = float((guide.grid[..., 0] > 0.5).float().mean())
    if inside < SMALLEST_VOLUME:
        raise Prior3dError(
            f"{job.name}: the shape encloses nothing ({inside:.3%} of the box; {open_edges:.0%} of its edges "
            "are open). Close its holes, or give it a thickness"
        )
    save_shape_guide(job.out, guide)
    save_mesh(job.out, mesh)
    job.metric("faces", len(faces), "faces")
    job.metric("open_edges", open_edges, "of edges", n=len(faces), higher_is_better=False)
    job.metric("inside", inside, "of the box", n=guide.grid[..., 0].numel())
    job.metric("repairs", len(notes), "repairs", higher_is_better=False)
    write_png(job.out / "preview.png", picture(mesh))
    job.progress(STEPS, STEPS, text=f"{len(faces):,} faces")


def picture(mesh: Mesh):
    """The shape's normals from four sides, the front first."""
    drawn = render_mesh(mesh, orbit_cameras(ring(4), 128, 128))
    return np.concatenate(list((drawn.normal * 0.5 + 0.5) * drawn.mask[..., None] + 1 - drawn.mask[..., None]), 1)
