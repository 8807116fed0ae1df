"""Fewer and smoother triangles."""

import numpy as np
import open3d

from prior3d.meshes.mesh import Mesh


def simplify(mesh: Mesh, max_faces: int, smoothing_steps: int = 0) -> Mesh:
    """Smooth (Taubin, which does not shrink), decimate (quadric errors) and clean.

    Args:
        mesh: closed or not.
        max_faces: decimated to at most this many.
        smoothing_steps: 0 leaves the vertices where they are.
    """
    shape = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.vertices), open3d.utility.Vector3iVector(mesh.faces)
    )
    if smoothing_steps > 0:
        shape = shape.filter_smooth_taubin(number_of_iterations=smoothing_steps)
    if len(mesh.faces) > max_faces:
        shape = shape.simplify_quadric_decimation(target_number_of_triangles=max_faces)
    shape.remove_degenerate_triangles()
    shape.remove_duplicated_triangles()
    shape.remove_unreferenced_vertices()
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.triangles).astype(np.int64))


def without_small_parts(mesh: Mesh, min_part: float) -> tuple[Mesh, int]:
    """The mesh without connected parts of less than a share of the largest one's faces, and how many those were."""
    shape = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.vertices), open3d.utility.Vector3iVector(mesh.faces)
    )
    part, counts, _ = shape.cluster_connected_triangles()
    sizes = np.asarray(counts)
    small = sizes < min_part * sizes.max()
    shape.remove_triangles_by_mask(small[np.asarray(part)])
    shape.remove_unreferenced_vertices()
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.triangles).astype(np.int64)), int(small.sum())
