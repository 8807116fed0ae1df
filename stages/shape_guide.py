"""A person's rough shape, made ready to guide a field: placed in the world, inside and distance on a grid.

Metzer et al. 2023, section 3.3: the shape is centred and scaled; its winding number says what is inside, also of shapes
with holes, and near its surface it does not bind.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from prior3d.errors import Prior3dError
from stages import mesh_artifacts
from stages.entry import Job, main
from stages.mesh_input import MeshParams, read_and_place, say

if TYPE_CHECKING:
    from prior3d.meshes.mesh import Mesh

STEPS = 3
SMALLEST_VOLUME = 0.0005  # of the box; a ball of radius 0.1 has 0.0005


class Params(MeshParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    resolution: int = Field(
        65, ge=9, le=257, description="nodes of the grid along an axis", json_schema_extra={"unit": "nodes"}
    )
    n_directions: int = Field(
        48, ge=1, le=1000, description="rays a node for the winding number of a shape with holes; closed ones take 4"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"radius": 0.7, "centre": "vertices", "resolution": 129}}
INPUTS = {"shape": mesh_artifacts.MeshFile}
OUTPUT = mesh_artifacts.ShapeGuide


def run(job: Job, params: Params) -> None:
    """Read, place and measure the shape."""
    from prior3d.images import write_png
    from prior3d.meshes.mesh import Mesh
    from prior3d.meshes.repair import open_edge_fraction, oriented
    from prior3d.shape_guide import build_guide

    given, placement, notes = read_and_place(job, "shape", params)
    vertices, faces, n_turned = oriented(placement.to_world(given.vertices), given.faces)
    mesh = Mesh(vertices, faces)
    open_edges = open_edge_fraction(vertices, faces)
    if n_turned:
        notes.append(f"{n_turned} faces turned, so that all look outward")
    if open_edges:
        notes.append(f"not watertight: {open_edges:.1%} of its edges are open, so inside is where it winds half round")
    say(job, notes, 1, STEPS)
    job.progress(2, STEPS, text="inside and distance")
    guide = build_guide(mesh, params.resolution, n_directions=params.n_directions if open_edges else 4)
    inside = float((guide.grid[..., 0] > 0.5).float().mean())
    if inside < SMALLEST_VOLUME:
        raise Prior3dError(
            f"{job.name}: the shape encloses nothing ({inside:.3%} of the box; {open_edges:.0%} of its edges "
            "are open). Close its holes, or give it a thickness"
        )
    mesh_artifacts.ShapeGuide.save(job.out, guide, mesh)
    job.metric("faces", len(faces), "faces")
    job.metric("open_edges", open_edges, "of edges", n=len(faces), higher_is_better=False)
    job.metric("inside", inside, "of the box", n=guide.grid[..., 0].numel())
    job.metric("repairs", len(notes), "repairs", higher_is_better=False)
    write_png(job.out / "preview.png", picture(mesh))
    job.progress(STEPS, STEPS, text=f"{len(faces):,} faces")


def picture(mesh: "Mesh"):
    """The shape's normals from four sides, the front first."""
    import numpy as np

    from prior3d.cameras import orbit_cameras, ring
    from prior3d.meshes.raster import render_mesh

    drawn = render_mesh(mesh, orbit_cameras(ring(4), 128, 128))
    return np.concatenate(list((drawn.normal * 0.5 + 0.5) * drawn.mask[..., None] + 1 - drawn.mask[..., None]), 1)


if __name__ == "__main__":
    main("stages.shape_guide")
