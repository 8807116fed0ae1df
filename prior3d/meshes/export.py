"""A finished GLB as other programs want it: in their format, of a size, standing on the floor, all one way up.

GLB, OBJ and USDZ are y up with the front along +z; PLY, STL and 3MF, which programs read as z up, have the front along
-y. So an importer that follows these habits shows all alike. 3MF is in millimetres, and has no texture.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from prior3d.errors import Prior3dError
from prior3d.limits import parse_json
from prior3d.meshes.files import TO_WORLD, save_obj
from prior3d.meshes.mesh import TexturedMesh

FORMATS = ("glb", "obj", "ply", "stl", "3mf", "usdz")
ROUGH, NO_METAL = 1.0, 0.0  # as GLBs are made here
MILLIMETRES = 1000.0
INSTALL = 'install prior3d[files] (in a checkout: pip install -e ".[files]"), or export a .glb'


@dataclass(frozen=True)
class Surface:
    """Constants of a material; None keeps what the file says."""

    roughness: float | None = None
    metallic: float | None = None


def export_mesh(
    content: bytes, target: Path, size: float | None, on_floor: bool, surface: Surface | None = None
) -> None:
    """Write a mesh in the format of the target's ending; OBJ with its MTL and PNG beside it.

    Args:
        content: a GLB with a texture, y up.
        target: ends in one of `FORMATS`.
        size: longest side of the box about the mesh, in the file's units (glTF's are metres); None keeps it.
        on_floor: whether its lowest point comes to lie at height 0.
        surface: of GLB and USDZ; other formats say nothing of it.

    Raises:
        Prior3dError: the mesh cannot be read, or the format needs a package that is not installed.
    """
    mesh, surface = read_glb(content), surface or Surface()
    matrix = placed(mesh.vertices, size, on_floor)
    moved = mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    match target.suffix.lower():
        case ".glb":
            moved_content = content if np.array_equal(matrix, np.eye(4)) else under_node(content, matrix)
            target.write_bytes(with_surface(moved_content, surface))
        case ".obj":
            world = TexturedMesh(moved[:, TO_WORLD], mesh.faces, mesh.uv, mesh.texture)
            save_obj(target.parent, world, target.stem)
        case ".usdz":
            rough = ROUGH if surface.roughness is None else surface.roughness
            metal = NO_METAL if surface.metallic is None else surface.metallic
            still = TexturedMesh(moved, mesh.faces, mesh.uv, mesh.texture)
            _usdz_writer()(still, target, rough, metal)
        case ".3mf":
            shape = trimesh.Trimesh(_standing(moved) * MILLIMETRES, mesh.faces, process=False)
            try:
                shape.export(target, file_type="3mf")
            except ImportError:
                raise Prior3dError(f"3MF is written with lxml, which is not installed; {INSTALL}") from None
        case _:
            shape = trimesh.Trimesh(_standing(moved), mesh.faces, process=False, vertex_colors=_colours(mesh))
            shape.export(target, file_type=target.suffix.lower()[1:])


def _standing(vertices: Float[np.ndarray, "vertices 3"]) -> Float[np.ndarray, "vertices 3"]:
    """Vertices that are y up as z up, with the front along -y."""
    turned: np.ndarray = vertices[:, [0, 2, 1]] * [1, -1, 1]
    return turned


def _usdz_writer() -> Callable[[TexturedMesh, Path, float, float], None]:
    try:
        from prior3d.meshes.usdz import write_usdz  # an extra: other formats are written without it
    except ImportError:
        raise Prior3dError(f"USDZ is written with usd-core, which is not installed; {INSTALL}") from None
    return write_usdz


def with_surface(content: bytes, surface: Surface) -> bytes:
    """A GLB whose materials have constants; all else stays as it is, to the byte."""
    if surface == Surface():
        return content
    document, rest = _document(content)
    for material in document.get("materials", []):
        values = material.setdefault("pbrMetallicRoughness", {})
        if surface.roughness is not None:
            values["roughnessFactor"] = surface.roughness
        if surface.metallic is not None:
            values["metallicFactor"] = surface.metallic
    return _glb(document, rest)


def placed(vertices: Float[np.ndarray, "vertices 3"], size: float | None, on_floor: bool) -> Float[np.ndarray, "4 4"]:
    """The matrix [4, 4] that gives vertices [n, 3], y up, a size and stands them on the floor."""
    matrix = np.eye(4)
    low, high = vertices.min(0), vertices.max(0)
    scale = 1.0 if size is None else size / float((high - low).max())
    matrix[:3, :3] *= scale
    if on_floor:
        matrix[1, 3] = -scale * low[1]
    return matrix


def under_node(content: bytes, matrix: Float[np.ndarray, "4 4"]) -> bytes:
    """A GLB whose scenes hang under a node with a matrix [4, 4]; all else stays as it is, to the byte."""
    document, rest = _document(content)
    nodes = document.setdefault("nodes", [])
    for scene in document.get("scenes", []):
        nodes.append({"name": "placed", "matrix": matrix.T.reshape(-1).tolist(), "children": scene.get("nodes", [])})
        scene["nodes"] = [len(nodes) - 1]
    return _glb(document, rest)


def _document(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON of a GLB, and the chunks behind it."""
    length = struct.unpack("<I", content[12:16])[0]
    document: dict[str, Any] = parse_json(content[20 : 20 + length])
    return document, content[20 + length :]


def _glb(document: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


def read_glb(content: bytes) -> TexturedMesh:
    """All of a GLB as one textured mesh in the file's own coordinates (raises Prior3dError if it is damaged)."""
    try:
        scene: Any = trimesh.load_scene(io.BytesIO(content), file_type="glb", process=False)
        (node,) = scene.graph.nodes_geometry
        matrix, name = scene.graph[node]
        shape = scene.geometry[name]
        texture = np.asarray(shape.visual.material.baseColorTexture.convert("RGB"), dtype=np.float32) / 255
    except Exception as error:  # trimesh raises many kinds on damaged files
        raise Prior3dError(f"mesh.glb: it cannot be read ({str(error)[:120]}); run its stage again") from None
    vertices = np.asarray(shape.vertices) @ np.asarray(matrix)[:3, :3].T + np.asarray(matrix)[:3, 3]
    return TexturedMesh(vertices, np.asarray(shape.faces), np.asarray(shape.visual.uv), texture)


def _colours(mesh: TexturedMesh) -> Float[np.ndarray, "vertices 4"]:
    """The texture's colour at each vertex, for formats that have no texture."""
    height, width = mesh.texture.shape[:2]
    columns = (mesh.uv[:, 0].clip(0, 1) * width - 0.5).round().clip(0, width - 1).astype(int)
    rows = ((1 - mesh.uv[:, 1].clip(0, 1)) * height - 0.5).round().clip(0, height - 1).astype(int)
    return np.concatenate([mesh.texture[rows, columns], np.ones((len(mesh.uv), 1))], -1)


def format_of(target: Path, asked: str | None, others: Mapping[str, str]) -> str | None:
    """Which of `FORMATS` a target means; None for a folder or a ZIP.

    Args:
        target: as a person gave it.
        asked: a format that was asked for by its name.
        others: endings of formats that are not written, and what to do in their place.

    Raises:
        Prior3dError: the ending is another format's, or not the one that was asked for.
    """
    ending = target.suffix.lower()[1:]
    if ending in others:
        raise Prior3dError(f"{target}: .{ending} is not written here; {others[ending]}")
    if asked and ending in FORMATS and ending != asked:
        raise Prior3dError(f"{target} ends in .{ending}, but --format is {asked}; give one of them")
    return asked or (ending if ending in FORMATS else None)
