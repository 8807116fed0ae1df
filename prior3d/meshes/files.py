"""Mesh files: GLB with its texture inside, OBJ + MTL + PNG, and PLY without colours.

GLB and OBJ are written y up with the front along +z, as their viewers expect: (x, y, z) of the file is (y, z, x) of the
world. PLY is this project's own and stays in world coordinates.
"""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float
from PIL import Image

from prior3d.errors import Prior3dError
from prior3d.images.files import png_bytes, write_png
from prior3d.limits import parse_json
from prior3d.meshes.mesh import Mesh, TexturedMesh, vertex_normals

TO_FILE, TO_WORLD = [1, 2, 0], [2, 0, 1]


def save_ply(path: Path, mesh: Mesh) -> None:
    """Write triangles, binary, in world coordinates."""
    shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    path.write_bytes(trimesh.exchange.ply.export_ply(shape))


def load_ply(path: Path) -> Mesh:
    """Read what `save_ply` wrote.

    Raises:
        Prior3dError: the file is missing, damaged or empty.
    """
    loaded = _load(path, "ply")
    return Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))


def save_glb(path: Path, mesh: TexturedMesh) -> None:
    """Write one binary glTF: positions, normals, UVs, a rough PBR material, the texture as an embedded PNG."""
    normals = vertex_normals(mesh.vertices, mesh.faces)[:, TO_FILE]
    path.write_bytes(glb_bytes(mesh.vertices[:, TO_FILE], normals, mesh))


def glb_bytes(
    vertices: Float[np.ndarray, "vertices 3"],
    normals: Float[np.ndarray, "vertices 3"],
    mesh: TexturedMesh,
    transform: Float[np.ndarray, "4 4"] | None = None,
) -> bytes:
    """A binary glTF of a mesh's faces, UVs and texture on vertices and normals [n, 3] in the file's coordinates.

    A `transform` [4, 4] goes to the node, and leaves the numbers of the vertices alone.
    """
    # glTF's roughness 1 and metal 0: the texture holds the colours as seen, so no highlight is wanted.
    material = trimesh.visual.material.PBRMaterial(
        name="object",
        baseColorTexture=Image.open(io.BytesIO(png_bytes(mesh.texture))),
        metallicFactor=0.0,
        roughnessFactor=1.0,
    )
    shape = trimesh.Trimesh(
        vertices,
        mesh.faces,
        vertex_normals=normals,
        visual=trimesh.visual.TextureVisuals(uv=mesh.uv, material=material),
        process=False,
    )
    scene = trimesh.Scene()
    scene.add_geometry(shape, node_name="object", geom_name="object", transform=transform)
    content: bytes = trimesh.exchange.gltf.export_glb(scene, include_normals=True)
    return content


def load_glb(path: Path) -> TexturedMesh:
    """Read a GLB that `save_glb` wrote, back into world coordinates.

    Raises:
        Prior3dError: the file is missing, truncated, or has no texture.
    """
    check_glb(path)
    loaded = _load(path, "glb")
    image = getattr(getattr(loaded.visual, "material", None), "baseColorTexture", None)
    uv = getattr(loaded.visual, "uv", None)
    if image is None or uv is None:
        raise Prior3dError(f"{path}: the mesh has no texture. Run texture_baking again.")
    texture = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return TexturedMesh(np.asarray(loaded.vertices)[:, TO_WORLD], np.asarray(loaded.faces), np.asarray(uv), texture)


def check_glb(path: Path) -> dict[str, Any]:
    """Read a GLB's JSON part and check its lengths (glTF 2.0, section 4).

    Returns:
        the glTF JSON.

    Raises:
        Prior3dError: the file is missing, is not GLB version 2, or is shorter than its header says.
    """
    content = path.read_bytes() if path.is_file() else b""
    if len(content) < 20 or content[:4] != b"glTF":
        raise Prior3dError(f"{path}: not a GLB file ({len(content)} bytes). Run the stage that makes it again.")
    version, length = struct.unpack("<II", content[4:12])
    json_length, kind = struct.unpack("<I4s", content[12:20])
    if version != 2 or length != len(content) or kind != b"JSON":
        raise Prior3dError(
            f"{path}: damaged GLB (version {version}, {len(content)} bytes of {length}). Run its stage again."
        )
    try:
        document = parse_json(content[20 : 20 + json_length])
        if not isinstance(document, dict):
            raise ValueError(f"it is a JSON {type(document).__name__}")
    except ValueError as error:
        raise Prior3dError(f"{path}: damaged GLB, its JSON cannot be read ({error}). Run its stage again.") from None
    return document


def save_obj(folder: Path, mesh: TexturedMesh, name: str = "mesh") -> None:
    """Write NAME.obj, NAME.mtl and NAME.png, the older trio that every program reads."""
    write_png(folder / f"{name}.png", mesh.texture)
    (folder / f"{name}.mtl").write_text(f"newmtl object\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {name}.png\n")
    normals = vertex_normals(mesh.vertices, mesh.faces)[:, TO_FILE]
    lines = [f"mtllib {name}.mtl", "o object"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices[:, TO_FILE]]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.uv]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in normals]
    lines += ["usemtl object"]
    lines += [f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in mesh.faces + 1]
    (folder / f"{name}.obj").write_text("\n".join(lines) + "\n")


def _load(path: Path, kind: str) -> Any:
    """A trimesh.Trimesh from a file with one object in it."""
    if not path.is_file():
        raise Prior3dError(f"{path}: there is no such mesh. Run the stage that makes it.")
    try:
        loaded: Any = trimesh.load(path, file_type=kind, process=False, force="mesh")
    except Exception as error:  # trimesh raises many kinds on damaged files
        raise Prior3dError(
            f"{path}: cannot be read as {kind.upper()} ({error}). Run the stage that makes it again."
        ) from error
    if len(loaded.faces) == 0:
        raise Prior3dError(f"{path}: has no faces. Run the stage that makes it again.")
    return loaded
