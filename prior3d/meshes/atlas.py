"""Texture atlases: a mesh's faces laid flat on a square (xatlas), and which point of the surface each texel shows."""

from dataclasses import dataclass

import numpy as np
import xatlas
from jaxtyping import Bool, Float, Int

from prior3d.meshes.mesh import Mesh, vertex_normals
from prior3d.meshes.raster import Raycaster, barycentric_interpolate


@dataclass(frozen=True)
class Atlas:
    """A mesh cut along seams and laid flat.

    Attributes:
        vertices: [vertices, 3]; those on seams appear once for each chart.
        faces: [faces, 3].
        uv: [vertices, 2] in [0, 1], v upwards.
        normals: [vertices, 3] unit; the same for all copies of a vertex.
        charts: how many pieces.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "vertices 2"]
    normals: Float[np.ndarray, "vertices 3"]
    charts: int


@dataclass(frozen=True)
class AtlasTexels:
    """The texels that lie on a face.

    Attributes:
        rows: [n] rows of the texture (0 at the top).
        columns: [n].
        positions: [n, 3] on the surface, world.
        normals: [n, 3] unit, outward.
    """

    rows: Int[np.ndarray, "texels"]
    columns: Int[np.ndarray, "texels"]
    positions: Float[np.ndarray, "texels 3"]
    normals: Float[np.ndarray, "texels 3"]


def unwrap(mesh: Mesh, resolution: int, padding: int = 2) -> Atlas:
    """Cut a mesh into charts and pack them into a square of resolution^2 texels, `padding` texels apart."""
    atlas = xatlas.Atlas()
    normals = vertex_normals(mesh.vertices, mesh.faces)
    atlas.add_mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32), normals.astype(np.float32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_iterations = 1
    packing.resolution, packing.padding, packing.bilinear, packing.create_image = resolution, padding, False, False
    atlas.generate(charts, packing)
    original, faces, uv = atlas[0]
    return Atlas(
        mesh.vertices[original], faces.astype(np.int64), uv.astype(np.float64), normals[original], atlas.chart_count
    )


def texels(atlas: Atlas, resolution: int) -> AtlasTexels:
    """For every texel whose centre lies on a face: its place on the surface."""
    # The flat atlas itself is ray cast, straight down: exact, and as fast as any rasteriser written in Python.
    flat = Mesh(np.concatenate([atlas.uv, np.zeros((len(atlas.uv), 1))], -1), atlas.faces)
    centres = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution
    u, v = np.meshgrid(centres, 1 - centres)
    origins = np.stack([u, v, np.ones_like(u)], -1)
    hits = Raycaster(flat).cast(origins, np.broadcast_to(np.array([0, 0, -1], np.float32), origins.shape))
    rows, columns = np.nonzero(hits.mask)
    weights = hits.barycentric[rows, columns]
    corners = atlas.faces[hits.face[rows, columns]]
    normals = barycentric_interpolate(atlas.normals, corners, weights)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    return AtlasTexels(rows, columns, barycentric_interpolate(atlas.vertices, corners, weights), normals)


def dilate(
    texture: Float[np.ndarray, "height width channels"], known: Bool[np.ndarray, "height width"], steps: int
) -> Float[np.ndarray, "height width channels"]:
    """Grow the known texels outwards, so that filtering near seams never meets an empty texel.

    Args:
        texture: [height, width, channels].
        known: [height, width] bool.
        steps: how many texels to grow; what stays unknown gets the mean of the known.
    """
    texture, known = texture.copy(), known.copy()
    height, width = known.shape
    for _ in range(steps):
        total = np.zeros_like(texture)
        count = np.zeros(known.shape)
        padded, there = np.pad(texture * known[..., None], ((1, 1), (1, 1), (0, 0))), np.pad(known, 1)
        for dy in range(3):
            for dx in range(3):
                total += padded[dy : dy + height, dx : dx + width]
                count += there[dy : dy + height, dx : dx + width]
        grown = ~known & (count > 0)
        texture[grown] = total[grown] / count[grown][:, None]
        known |= grown
    texture[~known] = texture[known].mean(0)
    return texture
