"""Ray casting against meshes (Open3D, on the CPU), and images by it: colour, mask, depth, normals, supersampled."""

from dataclasses import dataclass

import numpy as np
import open3d
from jaxtyping import Bool, Float, Int, Integer, Num

from prior3d.cameras import Cameras
from prior3d.meshes.mesh import Mesh, TexturedMesh, vertex_normals
from prior3d.rendering.rays import rays


@dataclass(frozen=True)
class Hits:
    """Where rays meet a mesh first; the leading dimensions are those of the rays.

    Attributes:
        distance: [...] along the unit direction; infinite where the ray misses.
        face: [...] row of the mesh's faces; meaningless where it misses.
        barycentric: [..., 3] weights of the face's three vertices.
    """

    distance: Float[np.ndarray, "*rays"]
    face: Integer[np.ndarray, "*rays"]
    barycentric: Float[np.ndarray, "*rays 3"]

    @property
    def mask(self) -> Bool[np.ndarray, "*rays"]:
        """[...] bool, whether the ray met the mesh."""
        hit: np.ndarray = np.isfinite(self.distance)
        return hit


@dataclass(frozen=True)
class MeshImages:
    """Images of a mesh.

    Attributes:
        rgb: [views, height, width, 3] in [0, 1], over the background.
        mask: [views, height, width] share of the pixel covered.
        depth: [views, height, width] mean distance along the ray where covered, 0 elsewhere.
        normal: [views, height, width, 3] unit world normals where covered, 0 elsewhere.
    """

    rgb: Float[np.ndarray, "views height width 3"]
    mask: Float[np.ndarray, "views height width"]
    depth: Float[np.ndarray, "views height width"]
    normal: Float[np.ndarray, "views height width 3"]


class Raycaster:
    """A mesh, prepared for ray casting."""

    def __init__(self, mesh: Mesh | TexturedMesh):
        self._scene = open3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(_tensor(mesh.vertices, np.float32), _tensor(mesh.faces, np.uint32))

    def cast(self, origins: Float[np.ndarray, "*rays 3"], directions: Float[np.ndarray, "*rays 3"]) -> Hits:
        """First hits of rays [..., 3] with unit directions [..., 3]."""
        found = self._scene.cast_rays(_packed(origins, directions))
        second, third = np.moveaxis(found["primitive_uvs"].numpy(), -1, 0)
        barycentric = np.stack([1 - second - third, second, third], -1)
        return Hits(found["t_hit"].numpy(), found["primitive_ids"].numpy(), barycentric)

    def count_hits(
        self, origins: Float[np.ndarray, "*rays 3"], directions: Float[np.ndarray, "*rays 3"]
    ) -> Integer[np.ndarray, "*rays"]:
        """How many faces each ray [..., 3] meets; hits at one distance count once."""
        counts: np.ndarray = self._scene.count_intersections(_packed(origins, directions)).numpy()
        return counts

    def all_hits(
        self, origins: Float[np.ndarray, "rays 3"], directions: Float[np.ndarray, "rays 3"]
    ) -> tuple[Integer[np.ndarray, "hits"], Integer[np.ndarray, "hits"]]:
        """Every pair of a ray [n, 3] and a face that it meets: rows of the rays, rows of the mesh's faces."""
        found = self._scene.list_intersections(_packed(origins, directions))
        return found["ray_ids"].numpy(), found["primitive_ids"].numpy()

    def nearest(
        self, points: Float[np.ndarray, "points 3"]
    ) -> tuple[Int[np.ndarray, "points"], Float[np.ndarray, "points 3"]]:
        """The face nearest to each point [n, 3], and the barycentric weights of the place on it that is nearest."""
        found = self._scene.compute_closest_points(_tensor(points, np.float32))
        second, third = found["primitive_uvs"].numpy().T
        weights = np.stack([1 - second - third, second, third], -1)
        return found["primitive_ids"].numpy().astype(np.int64), weights

    def distances(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points"]:
        """Distances [n] of points [n, 3] to the nearest face."""
        found: np.ndarray = self._scene.compute_distance(_tensor(points, np.float32)).numpy()
        return found


class MeshRenderer:
    """A mesh, prepared to be rendered many times."""

    def __init__(self, mesh: Mesh | TexturedMesh):
        self.mesh = mesh
        self._caster = Raycaster(mesh)
        self._normals = vertex_normals(mesh.vertices, mesh.faces).astype(np.float32)
        self._uv = mesh.uv.astype(np.float32) if isinstance(mesh, TexturedMesh) else None

    def render(
        self, cameras: Cameras, background: float = 1.0, supersampling: int = 2, headlight: float = 0.0
    ) -> MeshImages:
        """Render the mesh.

        Args:
            cameras: [views].
            background: grey level behind.
            supersampling: each pixel is the mean of this many rays squared.
            headlight: 0 shows the colours as they are (they already hold shading); 1 dims faces at a slant to black.
        """
        fine = cameras.resized(cameras.height * supersampling, cameras.width * supersampling)
        origins, directions = (values.cpu().numpy() for values in rays(fine))
        hits = self._caster.cast(origins, directions)
        inside = hits.mask
        colour = np.full((*inside.shape, 3), background, dtype=np.float32)
        normal = np.zeros_like(colour)
        corners, weights = self.mesh.faces[hits.face[inside]], hits.barycentric[inside]
        normal[inside] = _unit(barycentric_interpolate(self._normals, corners, weights))
        seen = self._colours(corners, weights)
        if headlight > 0:
            cos_theta = np.abs(np.einsum("ni,ni->n", normal[inside], directions[inside]))[:, None]
            seen = seen * (1 - headlight + headlight * cos_theta)
        colour[inside] = seen
        mask = _pool(inside[..., None].astype(np.float32), supersampling)[..., 0]
        depth = _pool(np.where(inside, hits.distance, 0)[..., None], supersampling)[..., 0] / np.maximum(mask, 1e-6)
        return MeshImages(_pool(colour, supersampling), mask, depth, _unit(_pool(normal, supersampling)))

    def _colours(
        self, corners: Int[np.ndarray, "hits 3"], weights: Float[np.ndarray, "hits 3"]
    ) -> Float[np.ndarray, "hits 3"]:
        """Colours [hits, 3] from the texture, or grey without one."""
        if isinstance(self.mesh, TexturedMesh) and self._uv is not None:
            return sample_texture(self.mesh.texture, barycentric_interpolate(self._uv, corners, weights))
        return np.full((len(corners), 3), 0.8, dtype=np.float32)


def render_mesh(mesh: Mesh | TexturedMesh, cameras: Cameras, **how: float) -> MeshImages:
    """Render a mesh once; `how` as in `MeshRenderer.render`."""
    return MeshRenderer(mesh).render(cameras, **how)  # type: ignore[arg-type]


def barycentric_interpolate(
    values: Float[np.ndarray, "vertices channels"],
    corners: Int[np.ndarray, "points 3"],
    weights: Float[np.ndarray, "points 3"],
) -> Float[np.ndarray, "points channels"]:
    """Values [vertices, channels] at points given by the rows of three vertices [n, 3] and their weights [n, 3]."""
    first, second, third = (values[corners[:, i]] * weights[:, i, None] for i in range(3))
    found: np.ndarray = first + second + third
    return found


def sample_texture(
    texture: Float[np.ndarray, "height width channels"], uv: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "points channels"]:
    """Bilinear lookup of a texture [height, width, channels] at uv [n, 2] (v upwards): [n, channels]."""
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    above = texture[top, left] * (1 - fx) + texture[top, right] * fx
    below = texture[bottom, left] * (1 - fx) + texture[bottom, right] * fx
    found: np.ndarray = above * (1 - fy) + below * fy
    return found


def _tensor(values: Num[np.ndarray, "..."], dtype: type[np.generic]) -> open3d.core.Tensor:
    """An array as Open3D's tensor."""
    return open3d.core.Tensor.from_numpy(np.ascontiguousarray(values, dtype=dtype))


def _packed(origins: Float[np.ndarray, "*rays 3"], directions: Float[np.ndarray, "*rays 3"]) -> open3d.core.Tensor:
    """Rays as Open3D takes them: [..., 6]."""
    return _tensor(np.concatenate([origins, directions], -1), np.float32)


def _pool(
    images: Float[np.ndarray, "views fine_height fine_width channels"], factor: int
) -> Float[np.ndarray, "views height width channels"]:
    """[views, height factor, width factor, channels] to [views, height, width, channels] by the mean."""
    total = np.zeros_like(images[:, ::factor, ::factor], dtype=np.float32)
    for i in range(factor):
        for j in range(factor):
            total += images[:, i::factor, j::factor]
    return total / factor**2


def _unit(vectors: Float[np.ndarray, "*vectors 3"]) -> Float[np.ndarray, "*vectors 3"]:
    """Vectors [..., 3] of length one; zero stays zero."""
    unit: np.ndarray = vectors / np.maximum(np.sqrt(np.einsum("...i,...i->...", vectors, vectors)), 1e-9)[..., None]
    return unit
