"""What a mesh is here: arrays in world coordinates (z up, front +x), faces counter-clockwise seen from outside.

A person's mesh keeps the coordinates of its file; its `Placement` says where it stands in the world.
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float, Int

from prior3d.errors import Prior3dError


@dataclass(frozen=True)
class Mesh:
    """Triangles.

    Attributes:
        vertices: [vertices, 3] float, world units.
        faces: [faces, 3] int, rows of `vertices`.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]

    def __post_init__(self) -> None:
        _check_triangles(self.vertices, self.faces)


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles with an image on them.

    Attributes:
        vertices: [vertices, 3] float, world units; vertices on a seam of the atlas appear more than once.
        faces: [faces, 3] int.
        uv: [vertices, 2] in [0, 1]; u to the right, v upwards from the image's bottom edge.
        texture: [height, width, 3] float in [0, 1], row 0 at the top.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "vertices 2"]
    texture: Float[np.ndarray, "height width 3"]

    def __post_init__(self) -> None:
        _check_triangles(self.vertices, self.faces)
        if self.uv.shape != (len(self.vertices), 2) or self.texture.ndim != 3 or self.texture.shape[2] != 3:
            raise Prior3dError(
                f"textured mesh: found uv {self.uv.shape} and texture {self.texture.shape}, "
                f"expected ({len(self.vertices)}, 2) and (height, width, 3)."
            )


@dataclass(frozen=True)
class Placement:
    """A similarity from a file's coordinates to the world's.

    Attributes:
        rotation: 3 rows of 3, the world's axes (front, left, up) in the file's coordinates; all 0, 1 or -1.
        centre: of the mesh in the file's coordinates.
        scale: world units a file unit.
        lift: world units added to z at last.
    """

    rotation: tuple[tuple[float, ...], ...]
    centre: tuple[float, ...]
    scale: float
    lift: float = 0.0

    def to_world(self, vertices: Float[np.ndarray, "vertices 3"]) -> Float[np.ndarray, "vertices 3"]:
        """Vertices [n, 3] of the file in world units."""
        placed = (vertices - np.array(self.centre)) @ np.array(self.rotation).T * self.scale
        lifted: np.ndarray = placed + np.array([0, 0, self.lift])
        return lifted


HERE = Placement(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0), 1.0)  # a mesh in the world


@dataclass(frozen=True)
class UvMesh:
    """A mesh in its file's coordinates with UVs of its own, and where it stands in the world.

    Attributes:
        vertices: [vertices, 3] float64, as in the file, in its order.
        faces: [faces, 3] int64.
        uv: [places, 2] in [0, 1], v upwards.
        uv_faces: [faces, 3] rows of `uv` for the corners of `faces`.
        placement: file to world.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "places 2"]
    uv_faces: Int[np.ndarray, "faces 3"]
    placement: Placement

    def world_vertices(self) -> Float[np.ndarray, "vertices 3"]:
        """Vertices in world units."""
        return self.placement.to_world(self.vertices)

    def split(
        self, vertices: Float[np.ndarray, "vertices 3"], texture: Float[np.ndarray, "height width 3"]
    ) -> TexturedMesh:
        """With a vertex for each pair of vertex and UV, as GLB wants it, in the order of the vertices.

        Args:
            vertices: `self.vertices` or `self.placed()`.
            texture: [height, width, 3] in [0, 1].
        """
        pairs = np.stack([self.faces, self.uv_faces], -1).reshape(-1, 2)
        unique, rows = np.unique(pairs, axis=0, return_inverse=True)
        faces = rows.reshape(-1, 3).astype(np.int64)
        return TexturedMesh(vertices[unique[:, 0]], faces, self.uv[unique[:, 1]], texture)


@dataclass(frozen=True)
class MeshQuality:
    """Counts about a mesh: faces, connected parts, whether it is closed, and its volume in cubic world units."""

    faces: int
    components: int
    watertight: bool
    volume: float


def measure(mesh: Mesh | TexturedMesh) -> MeshQuality:
    """Count faces, parts and open edges; vertices doubled by seams are merged first, so a seam is no hole."""
    welded = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    welded.merge_vertices(merge_tex=True, merge_norm=True)
    parts = trimesh.graph.connected_component_labels(welded.face_adjacency, node_count=len(welded.faces))
    n_parts = int(parts.max()) + 1
    return MeshQuality(len(mesh.faces), n_parts, bool(welded.is_watertight), float(welded.volume))


def edge_counts(faces: Int[np.ndarray, "faces 3"]) -> Int[np.ndarray, "edges"]:
    """How many faces have each edge: [edges]; 1 is an open edge, 2 is as it should be."""
    edges = np.sort(trimesh.geometry.faces_to_edges(faces), axis=1)
    return np.bincount(trimesh.grouping.unique_rows(edges)[1])


def open_edge_fraction(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> float:
    """Share of the edges that only one face has: 0 for a closed mesh; vertices in one place are one."""
    _, same = np.unique(vertices, axis=0, return_inverse=True)
    return float((edge_counts(same.reshape(-1)[faces]) == 1).mean())


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """[vertices, 3] unit normals: the mean of the faces round each vertex, by area; doubled vertices are one.

    trimesh weighs by angle, and takes doubled vertices apart.
    """
    _, first, same = np.unique(vertices.round(6), axis=0, return_index=True, return_inverse=True)
    same = same.reshape(-1)
    corners = vertices[faces]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = np.zeros((len(first), 3))
    for corner in range(3):
        np.add.at(sums, same[faces[:, corner]], areas)
    length = np.linalg.norm(sums, axis=-1, keepdims=True)
    normals: np.ndarray = (sums / np.maximum(length, 1e-12))[same]
    return normals


def _check_triangles(vertices: np.ndarray, faces: np.ndarray) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
        raise Prior3dError(
            f"mesh: found vertices {vertices.shape} and faces {faces.shape}, expected (n, 3) and (m > 0, 3)."
        )
    if not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
        raise Prior3dError("mesh: a vertex is not finite, or a face names a vertex that is not there.")
