"""A rough shape that a radiance field is drawn towards (Metzer et al. 2023, section 3.3, Sketch-Shape).

Inside or outside, and the distance to the surface, are computed once into a grid and looked up at every step.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.fields.trilinear import sample_grid
from prior3d.meshes.mesh import Mesh, TexturedMesh

CERTAIN = 0.99  # the shape's occupancy is taken as 0.01 outside and 0.99 inside, so that its logarithm is finite
STEP = 0.2  # world units of a ray whose opacity is compared with the occupancy, as in the released code


@dataclass(frozen=True)
class ShapeGuide:
    """A shape on a grid whose corner nodes lie on the corners of [-bound, bound]^3.

    Attributes:
        grid: [z, y, x, 2] winding number and distance to the surface in world units, float32.
        bound: half the side of the box, in world units.
    """

    grid: Float[Tensor, "z y x 2"]
    bound: float

    def look_up(self, points: Float[Tensor, "points 3"]) -> tuple[Bool[Tensor, "points"], Float[Tensor, "points"]]:
        """Whether points [n, 3] are inside [n] (bool), and their distances to the surface [n]; no gradient."""
        with torch.no_grad():
            found = sample_grid(self.grid, points.detach() / self.bound)
        return found[:, 0] > 0.5, found[:, 1]

    def to(self, device: torch.device | str) -> "ShapeGuide":
        """The same guide on `device`."""
        return ShapeGuide(self.grid.to(device), self.bound)


def shape_loss(
    density: Float[Tensor, "points"], points: Float[Tensor, "points 3"], guide: ShapeGuide, proximal_surface: float
) -> Float[Tensor, ""]:
    """Mean over points of the cross-entropy between the field's occupancy and the shape's, less near its surface.

    The occupancy is p = 1 - exp(-0.2 density), the shape's is q = 0.99 inside and 0.01 outside; as q is constant, the
    term -p ln q - (1 - p) ln(1 - q) is linear in p with slope -4.595 inside and +4.595 outside. Its weight
    1 - exp(-d^2 / (2 s^2)) is 0 on the surface, which is left free. The paper sums where this takes the mean.

    Args:
        density: [n] in 1 / world unit; the gradient goes here, wherever the points are.
        points: [n, 3] world.
        guide: the shape.
        proximal_surface: s, in world units; 0 gives every point the weight 1.
    """
    inside, distance = guide.look_up(points)
    occupancy = 1 - torch.exp(-STEP * density)
    q = torch.where(inside, CERTAIN, 1 - CERTAIN)
    cross_entropy = -occupancy * q.log() - (1 - occupancy) * (1 - q).log()
    if proximal_surface > 0:
        cross_entropy = cross_entropy * -torch.expm1(-(distance**2) / (2 * proximal_surface**2))
    return cross_entropy.mean()


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
    winding, distance = winding_numbers(mesh, points, n_directions), surface_distances(mesh, points)
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
    from open3d.core import Tensor as OpenTensor
    from open3d.t.geometry import RaycastingScene

    scene = RaycastingScene()
    vertices, faces = mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32)
    scene.add_triangles(OpenTensor.from_numpy(vertices), OpenTensor.from_numpy(faces))
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    winding = np.zeros(len(points))
    for direction in _spread(n_directions):
        leaves = np.sign(normals @ direction)
        for first in range(0, len(points), rays_at_once):
            origins = points[first : first + rays_at_once].astype(np.float32)
            rays = np.concatenate([origins, np.broadcast_to(direction, origins.shape)], -1).astype(np.float32)
            found = scene.list_intersections(OpenTensor.from_numpy(np.ascontiguousarray(rays)))
            crossed, ray = found["primitive_ids"].numpy(), found["ray_ids"].numpy()
            winding[first : first + len(origins)] += np.bincount(ray, leaves[crossed], minlength=len(origins))
    return winding / n_directions


def surface_distances(mesh: Mesh | TexturedMesh, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points"]:
    """Distances [n] of points [n, 3] to the nearest face."""
    from open3d.core import Tensor as OpenTensor
    from open3d.t.geometry import RaycastingScene

    scene = RaycastingScene()
    vertices, faces = mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32)
    scene.add_triangles(OpenTensor.from_numpy(vertices), OpenTensor.from_numpy(faces))
    queries = OpenTensor.from_numpy(np.ascontiguousarray(points, dtype=np.float32))
    found: np.ndarray = scene.compute_distance(queries).numpy()
    return found


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
    """Evenly spread unit vectors [n, 3] (a golden-angle spiral, turned off the axes, where edges like to lie)."""
    index = np.arange(n) + 0.5
    height, angle = 1 - 2 * index / n, np.pi * (1 + 5**0.5) * index + 0.7
    width = np.sqrt(1 - height**2)
    vectors = np.stack([width * np.cos(angle), width * np.sin(angle), height], 1)
    turn = np.linalg.qr(np.array([[0.83, -0.31, 0.46], [0.42, 0.87, -0.26], [-0.36, 0.39, 0.85]]))[0]
    turned: np.ndarray = vectors @ turn
    return turned
