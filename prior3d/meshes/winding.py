"""Inside and outside of a mesh by winding numbers: the grid of a shape guide, and the overlap of two volumes."""

import numpy as np
import torch
from jaxtyping import Float

from prior3d.cameras import spread_directions
from prior3d.losses.shape_guide import ShapeGuide
from prior3d.meshes.mesh import Mesh, TexturedMesh
from prior3d.meshes.raster import Raycaster


def build_guide(mesh: Mesh, resolution: int, bound: float = 1.0, n_directions: int = 4) -> ShapeGuide:
    """Compute a shape's grid.

    Args:
        mesh: its faces look outward; parts may overlap.
        resolution: nodes along each axis.
        bound: half the side of the grid's box.
        n_directions: rays a node, see `winding_numbers`.
    """
    axis = np.linspace(-bound, bound, resolution, dtype=np.float32)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    winding, distance = winding_numbers(mesh, points, n_directions), Raycaster(mesh).distances(points)
    grid = np.stack([winding, distance], -1).astype(np.float32).reshape(resolution, resolution, resolution, 2)
    return ShapeGuide(torch.from_numpy(grid), bound)


def winding_numbers(
    mesh: Mesh | TexturedMesh, points: Float[np.ndarray, "points 3"], n_directions: int, rays_at_once: int = 2**19
) -> Float[np.ndarray, "points"]:
    """How often a mesh winds round points [n, 3]: 1 inside, 0 outside, 2 where two parts overlap, between at holes.

    The winding number is the solid angle of the surface over 4 pi (Jacobson et al. 2013): the mean over all directions
    of how many faces a ray leaves through, less those it comes in through. Here it is the mean over `n_directions`
    evenly spread ones: a few do for a closed mesh, where each of them gives the same, and open ones want some dozens.
    """
    caster = Raycaster(mesh)
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    winding = np.zeros(len(points))
    for direction in _spread(n_directions):
        leaves = np.sign(normals @ direction)
        for first in range(0, len(points), rays_at_once):
            origins = points[first : first + rays_at_once]
            ray, crossed = caster.all_hits(origins, np.broadcast_to(direction, origins.shape))
            winding[first : first + len(origins)] += np.bincount(ray, leaves[crossed], minlength=len(origins))
    return winding / n_directions


def volume_iou(mesh: Mesh | TexturedMesh, guide: ShapeGuide, n_directions: int = 4) -> float:
    """Intersection over union of a mesh's volume and a guide's, counted at the guide's nodes."""
    resolution = guide.grid.shape[0]
    axis = np.linspace(-guide.bound, guide.bound, resolution, dtype=np.float32)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    made = winding_numbers(mesh, points, n_directions) > 0.5
    wanted = guide.grid[..., 0].flatten().cpu().numpy() > 0.5
    return float((made & wanted).sum() / max((made | wanted).sum(), 1))


def _spread(n: int) -> Float[np.ndarray, "directions 3"]:
    """Evenly spread unit vectors [n, 3], turned off the axes, where edges like to lie."""
    turn = np.linalg.qr(np.array([[0.83, -0.31, 0.46], [0.42, 0.87, -0.26], [-0.36, 0.39, 0.85]]))[0]
    turned: np.ndarray = spread_directions(n, start=0.7) @ turn
    return turned
