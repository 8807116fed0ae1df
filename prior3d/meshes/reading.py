"""A person's mesh file as arrays, in the file's own order and coordinates: OBJ, PLY, STL, GLB."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from prior3d.errors import Prior3dError
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.glb_input import plain_glb
from prior3d.meshes.obj_file import read_obj
from prior3d.meshes.ply_file import read_ply
from prior3d.meshes.stl_length import check_stl

SUFFIXES = (".obj", ".ply", ".stl", ".glb")


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
    readers = {".obj": read_obj, ".ply": read_ply}
    mesh = readers[kind](path) if kind in readers else _read_other(path, kind[1:])
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


def _read_other(path: Path, kind: str) -> GivenMesh:
    """STL and GLB by trimesh; all parts of a scene become one mesh, where the scene puts them."""
    if kind == "glb":
        source: Any = io.BytesIO(plain_glb(path))
    else:
        source = path
        check_stl(path)
    try:
        scene: Any = trimesh.load_scene(source, file_type=kind, process=False)
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
    """One node of a trimesh scene, in the scene's coordinates; a mirrored one keeps its outside outside."""
    matrix, name = scene.graph[node]
    shape = scene.geometry[name]
    vertices = np.asarray(shape.vertices, dtype=np.float64)
    faces = np.asarray(getattr(shape, "faces", np.zeros((0, 3))), dtype=np.int64)
    if not np.array_equal(matrix, np.eye(4)):
        vertices = vertices @ np.asarray(matrix)[:3, :3].T + np.asarray(matrix)[:3, 3]
        faces = faces[:, ::-1] if np.linalg.det(np.asarray(matrix)[:3, :3]) < 0 else faces  # glTF 2.0, section 3.7.4
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
