"""A person's mesh file as arrays, in the file's own order and coordinates: OBJ, PLY, STL, GLB.

OBJ is read here, line by line: vertices must come out in the order and number in which they stand in the file, and
libraries split and reorder them where the texture has seams.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int

from prior3d.errors import Prior3dError

SUFFIXES = (".obj", ".ply", ".stl", ".glb")


@dataclass(frozen=True)
class GivenMesh:
    """Triangles as a file holds them; nothing about them is checked yet.

    Attributes:
        vertices: [vertices, 3] float64, the file's coordinates.
        faces: [faces, 3] int64, rows of `vertices`.
        uv: [places, 2] in the image, v upwards; None where the file has none.
        uv_faces: [faces, 3] rows of `uv`, for the corners of `faces`; None where the file has none.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "places 2"] | None = None
    uv_faces: Int[np.ndarray, "faces 3"] | None = None


def read_mesh(path: Path) -> GivenMesh:
    """Read a mesh file by its ending.

    Raises:
        Prior3dError: a folder, empty, of another kind, not readable, or without faces.
    """
    kind = path.suffix.lower()
    if path.is_dir():
        raise Prior3dError(f"mesh {path.name}: it is a folder; give one file: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise Prior3dError(f"mesh {path.name}: there is no such file; give one of {', '.join(SUFFIXES)}")
    if kind not in SUFFIXES:
        raise Prior3dError(f"mesh {path.name}: its ending is {kind!r}; give one of {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise Prior3dError(f"mesh {path.name}: the file is empty; export it again")
    mesh = _read_obj(path) if kind == ".obj" else _read_other(path, kind[1:])
    if len(mesh.faces) == 0:
        raise Prior3dError(
            f"mesh {path.name}: {len(mesh.vertices)} vertices, but no faces were found in it; "
            f"is it really {kind[1:].upper()}? Export triangles"
        )
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise Prior3dError(
            f"mesh {path.name}: a face names a vertex that is not there ({len(mesh.vertices)} are); export it again"
        )
    return mesh


def _read_obj(path: Path) -> GivenMesh:
    """Vertices, texture places and faces of an OBJ file; polygons become fans of triangles, all groups one mesh."""
    vertices: list[list[float]] = []
    places: list[list[float]] = []
    faces: list[list[int]] = []
    place_faces: list[list[int]] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0] not in ("v", "vt", "f"):
                continue
            try:
                if words[0] == "f":
                    corners = [_corner(word, len(vertices), len(places)) for word in words[1:]]
                    for second, third in zip(corners[1:], corners[2:], strict=False):
                        faces.append([corners[0][0], second[0], third[0]])
                        place_faces.append([corners[0][1], second[1], third[1]])
                else:
                    wanted = 3 if words[0] == "v" else 2
                    (vertices if words[0] == "v" else places).append([float(words[1 + i]) for i in range(wanted)])
            except (ValueError, IndexError):
                raise Prior3dError(
                    f"mesh {path.name}, line {number}: {line.strip()[:60]!r} is no OBJ; export it again"
                ) from None
    uv_faces = np.array(place_faces, dtype=np.int64).reshape(-1, 3)
    whole = bool(places) and len(uv_faces) > 0 and uv_faces.min() >= 0 and uv_faces.max() < len(places)
    return GivenMesh(
        np.array(vertices, dtype=np.float64).reshape(-1, 3),
        np.array(faces, dtype=np.int64).reshape(-1, 3),
        np.array(places, dtype=np.float64) if whole else None,
        uv_faces if whole else None,
    )


def _corner(word: str, n_vertices: int, n_places: int) -> tuple[int, int]:
    """`vertex/place/normal` of a face's corner, from 0; the place is -1 where none is named. Negative counts back."""
    vertex, _, rest = word.partition("/")
    place = rest.partition("/")[0]
    v, p = int(vertex), int(place) if place else 0
    return v - 1 if v > 0 else n_vertices + v, -1 if p == 0 else p - 1 if p > 0 else n_places + p


def _read_other(path: Path, kind: str) -> GivenMesh:
    """PLY, STL and GLB by trimesh; all parts of a scene become one mesh, where the scene puts them."""
    try:
        scene: Any = trimesh.load_scene(path, file_type=kind, process=False)
        parts = [_part(scene, node) for node in scene.graph.nodes_geometry]
    except Exception as error:  # trimesh raises many kinds on damaged files
        raise Prior3dError(
            f"mesh {path.name}: it cannot be read as {kind.upper()} ({str(error)[:120] or type(error).__name__}); "
            "export it again"
        ) from None
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        return GivenMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    mesh = _joined(parts)
    if kind != "stl":
        return mesh
    # STL repeats every vertex for each of its faces: equal ones are one.
    vertices, same = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return GivenMesh(vertices, same.reshape(-1)[mesh.faces])


def _part(scene: Any, node: str) -> GivenMesh:
    """One node of a trimesh scene, in the scene's coordinates."""
    matrix, name = scene.graph[node]
    shape = scene.geometry[name]
    vertices = np.asarray(shape.vertices, dtype=np.float64)
    if not np.array_equal(matrix, np.eye(4)):
        vertices = vertices @ np.asarray(matrix)[:3, :3].T + np.asarray(matrix)[:3, 3]
    faces = np.asarray(getattr(shape, "faces", np.zeros((0, 3))), dtype=np.int64)
    uv = getattr(getattr(shape, "visual", None), "uv", None)
    if uv is None or len(uv) != len(vertices):
        return GivenMesh(vertices, faces)
    return GivenMesh(vertices, faces, np.asarray(uv, dtype=np.float64), faces)


def _joined(parts: list[GivenMesh]) -> GivenMesh:
    """Several meshes as one; UVs are kept only where all have them."""
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, first, strict=False)])
    uvs = [part.uv for part in parts if part.uv is not None]
    return (
        GivenMesh(vertices, faces, np.concatenate(uvs), faces) if len(uvs) == len(parts) else GivenMesh(vertices, faces)
    )
