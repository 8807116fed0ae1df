"""What can be put right about a person's mesh, with a sentence for each repair, and what is left to be said of it."""

from dataclasses import replace

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int

from prior3d.errors import Prior3dError
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.mesh import Mesh, edge_counts
from prior3d.meshes.simplification import simplify

LARGEST_SIZE, SMALLEST_SIZE = 1e3, 1e-3  # file units; beyond them the units are worth a word


def usable(mesh: GivenMesh, max_faces: int | None = None, decimated_faces: int = 0) -> tuple[GivenMesh, list[str]]:
    """Leave out what has no surface, and decimate what is huge if asked to; a mesh that is fine is returned as it is.

    Args:
        mesh: as read.
        max_faces: a mesh with more is decimated to `decimated_faces`, and loses its UVs; None decimates none.
        decimated_faces: see there.

    Returns:
        the mesh, and a sentence for everything that was changed or is unusual.

    Raises:
        Prior3dError: nothing with a surface is left.
    """
    notes: list[str] = []
    given = len(mesh.faces)
    finite = np.isfinite(mesh.vertices).all(-1)
    if not finite.all():
        faces_there = finite[mesh.faces].all(-1)
        notes.append(
            f"{int((~finite).sum())} vertices are not finite: {int((~faces_there).sum())} faces that use them left out"
        )
        mesh = _without(mesh, faces_there, finite)
    size = extent(mesh.vertices) if len(mesh.faces) else 0.0
    solid = trimesh.triangles.area(mesh.vertices[mesh.faces]) > 1e-14 * size**2
    if not solid.any():
        raise Prior3dError(f"mesh: none of its {given} faces has an area; export it again")
    if not solid.all():
        notes.append(f"{int((~solid).sum())} faces have no area: left out")
        mesh = _without(mesh, solid, np.ones(len(mesh.vertices), bool))
    if max_faces is not None and len(mesh.faces) > max_faces:
        notes.append(f"{len(mesh.faces):,} faces are more than {max_faces:,}: decimated to {decimated_faces:,}")
        simple = simplify(Mesh(mesh.vertices, mesh.faces), decimated_faces)
        mesh = GivenMesh(simple.vertices, simple.faces)  # UVs are lost
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        notes.append(f"it is {size:.3g} units across: scaled to fit, whatever the units")
    non_manifold = int((edge_counts(mesh.faces) > 2).sum())
    if non_manifold:
        notes.append(f"{non_manifold} edges have more than two faces (not manifold): left as they are")
    return mesh, notes


def extent(vertices: Float[np.ndarray, "vertices 3"]) -> float:
    """The longest side of the box about vertices [n, 3]."""
    return float((vertices.max(0) - vertices.min(0)).max())


def oriented(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> tuple[Float[np.ndarray, "places 3"], Int[np.ndarray, "faces 3"], int]:
    """Merge vertices in one place and turn faces so that every part agrees and looks outward.

    Returns:
        vertices, faces, and how many faces were turned.
    """
    places, same = np.unique(vertices, axis=0, return_inverse=True)
    before = same.reshape(-1)[faces]
    shape = trimesh.Trimesh(places, before.copy(), process=False)
    trimesh.repair.fix_winding(shape)
    after = np.array(shape.faces, dtype=np.int64)
    part = trimesh.graph.connected_component_labels(shape.face_adjacency, node_count=len(after))
    normals, middles = trimesh.triangles.cross(places[after]), places[after].mean(1)
    counts = np.bincount(part)
    centres = np.stack([np.bincount(part, middles[:, i]) / counts for i in range(3)], -1)
    # Six times the volume about the part's own centre: it says inside out also of a part that is not closed, which
    # trimesh's fix_inversion takes about the origin.
    volumes = np.bincount(part, ((middles - centres[part]) * normals).sum(-1))
    inverted = (volumes < 0)[part]
    after[inverted] = after[inverted, ::-1]
    along = (trimesh.triangles.cross(places[before]) * trimesh.triangles.cross(places[after])).sum(-1)
    return places, after, int((along < 0).sum())


def _without(
    mesh: GivenMesh, faces_kept: Bool[np.ndarray, "faces"], vertices_kept: Bool[np.ndarray, "vertices"]
) -> GivenMesh:
    """Fewer faces, and fewer vertices that none of them uses."""
    row = np.cumsum(vertices_kept) - 1
    uv_faces = None if mesh.uv_faces is None else mesh.uv_faces[faces_kept]
    return replace(mesh, vertices=mesh.vertices[vertices_kept], faces=row[mesh.faces[faces_kept]], uv_faces=uv_faces)
