"""UVs of a mesh too large or too rough to be unwrapped itself: those of a simpler surface, carried over to it.

xatlas takes minutes for a scan's noise, and can fail on a hundred thousand faces. The mesh itself keeps every vertex
and face. Faces that lie over each other, as noise does, share texels.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from prior3d.meshes.atlas import Atlas, unwrap
from prior3d.meshes.mesh import Mesh, vertex_normals
from prior3d.meshes.raster import Raycaster, barycentric_interpolate
from prior3d.meshes.simplification import simplify

SMOOTHING_STEPS = 10  # Taubin's, of the simpler surface: noise would cut it into thousands of charts
LIFTED = 0.5  # of the simpler surface's mean edge: thin sheets have two sides that lie close together


def transferred_uv(
    mesh: Mesh, resolution: int, simple_faces: int
) -> tuple[Float[np.ndarray, "places 2"], Int[np.ndarray, "faces 3"], int]:
    """UVs of a mesh by the atlas of a simpler one.

    Args:
        mesh: in the world.
        resolution: of the texture that charts are packed for, in texels.
        simple_faces: of the simpler surface, at most.

    Returns:
        [places, 2] in [0, 1], [faces, 3] rows of them for the corners of the mesh's faces, and the number of charts.
    """
    atlas = unwrap(_simple(mesh, simple_faces), resolution)
    chart_of = _charts(atlas)
    chart = chart_of[_nearest_faces(mesh, atlas)]
    uv, uv_faces, n_places = [], np.zeros_like(mesh.faces), 0
    for number in np.unique(chart):
        mine = chart == number
        used, rows = np.unique(mesh.faces[mine], return_inverse=True)
        piece = Mesh(atlas.vertices, atlas.faces[chart_of == number])
        face, weights = Raycaster(piece).nearest(mesh.vertices[used])
        uv.append(barycentric_interpolate(atlas.uv, piece.faces[face], weights))
        uv_faces[mine] = n_places + rows.reshape(-1, 3)
        n_places += len(used)
    return np.concatenate(uv).clip(0, 1), uv_faces, int(chart_of.max()) + 1


def _simple(mesh: Mesh, n_faces: int) -> Mesh:
    """The mesh with fewer and smoother faces; vertices in one place are one, so that none tears off."""
    places, same = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return simplify(Mesh(places, same.reshape(-1)[mesh.faces]), n_faces, SMOOTHING_STEPS)


def _charts(atlas: Atlas) -> Int[np.ndarray, "faces"]:
    """The number [faces] of the chart that each face of an atlas lies on: faces that share a vertex share a chart."""
    first, second = atlas.faces[:, [0, 1]].reshape(-1), atlas.faces[:, [1, 2]].reshape(-1)
    n = len(atlas.vertices)
    joined = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(n, n))
    _, labels = connected_components(joined, directed=False)
    _, charts = np.unique(labels[atlas.faces[:, 0]], return_inverse=True)
    numbers: np.ndarray = charts.reshape(-1).astype(np.int64)
    return numbers


def _nearest_faces(mesh: Mesh, atlas: Atlas) -> Int[np.ndarray, "faces"]:
    """The face of the atlas nearest to each face's middle, asked a little outside, on the side that it looks to."""
    simple = Mesh(atlas.vertices, atlas.faces)
    edges = atlas.vertices[atlas.faces[:, 1]] - atlas.vertices[atlas.faces[:, 0]]
    lift = LIFTED * float(np.linalg.norm(edges, axis=-1).mean())
    normals = vertex_normals(mesh.vertices, mesh.faces)[mesh.faces].mean(1)
    faces, _ = Raycaster(simple).nearest(mesh.vertices[mesh.faces].mean(1) + lift * normals)
    return faces
