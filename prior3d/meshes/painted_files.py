"""A person's mesh with UVs, and with a texture, as files in which its numbers are those of the file it came from.

OBJ holds every vertex once and in order, to the last digit. GLB, whose format wants a vertex for each UV, holds the
same numbers (as float32), doubled at seams; a z-up mesh is stood up by its node, not by its numbers. A mesh so far from
the origin that float32 would melt it has its place in its node, too.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from prior3d.errors import Prior3dError
from prior3d.images.files import from_bytes, write_png
from prior3d.limits import read_json
from prior3d.meshes.files import glb_bytes
from prior3d.meshes.mesh import Placement, TexturedMesh, UvMesh, vertex_normals

FAR = 500.0  # of its size from the origin: float32 has then less than 17 bits for the mesh itself


def save_uv_mesh(folder: Path, mesh: UvMesh, material: str = "") -> None:
    """Write `mesh.obj`, with numbers that read back to the bit, and `placement.json`."""
    lines = [f"mtllib {material}.mtl"] if material else []
    lines += ["o object", *(f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist())]
    lines += [f"vt {u!r} {v!r}" for u, v in mesh.uv.tolist()]
    lines += [*(["usemtl object"] if material else []), "s 1"]
    corners = np.stack([mesh.faces, mesh.uv_faces], -1) + 1
    lines += [f"f {a}/{d} {b}/{e} {c}/{f}" for (a, d), (b, e), (c, f) in corners.tolist()]
    (folder / "mesh.obj").write_text("\n".join(lines) + "\n")
    (folder / "placement.json").write_text(json.dumps(asdict(mesh.placement), indent=2) + "\n")


def load_uv_mesh(folder: Path) -> UvMesh:
    """Read what `save_uv_mesh` wrote (raises Prior3dError if it is not whole)."""
    vertices, uv, corners = _own_obj(folder / "mesh.obj")
    try:
        found = read_json(folder / "placement.json")
        numbers = [*found["rotation"], found["centre"], [found["scale"], found["lift"], 0.0]]
        rows = np.array(numbers, np.float64)
        if rows.shape != (5, 3) or not np.isfinite(rows).all():
            raise ValueError("its numbers are not finite, or not as many as a placement has")
        *rotation, centre, (scale, lift, _) = rows.tolist()
        placement = Placement(tuple(tuple(row) for row in rotation), tuple(centre), scale, lift)
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise Prior3dError(f"{folder / 'placement.json'}: damaged ({error}). Run mesh_preparation again.") from error
    return UvMesh(vertices, corners[:, :, 0], uv, corners[:, :, 1], placement)


def _own_obj(
    path: Path,
) -> tuple[Float[np.ndarray, "vertices 3"], Float[np.ndarray, "places 2"], Int[np.ndarray, "faces 3 2"]]:
    """Vertices, UVs and corners of an OBJ of `save_uv_mesh`; those of people have `prior3d/meshes/reading.py`."""
    found: dict[str, list[list[str]]] = {"v": [], "vt": [], "f": []}
    try:
        for line in path.read_bytes().decode().splitlines():
            keyword, *words = line.split()
            if keyword in found:
                found[keyword].append(words)
        vertices, uv = np.array(found["v"], np.float64), np.array(found["vt"], np.float64)
        corners = np.array([[corner.split("/") for corner in words] for words in found["f"]], np.int64) - 1
        whole = vertices.shape[1:] == (3,) and uv.shape[1:] == (2,) and corners.shape[1:] == (3, 2)
        if not whole or (corners < 0).any() or (corners >= [len(vertices), len(uv)]).any():
            raise ValueError("it lacks vertices, UVs or faces")
    except (OSError, ValueError, OverflowError) as error:
        raise Prior3dError(f"{path}: damaged ({error}). Run mesh_preparation again.") from None
    return vertices, uv, corners


def save_painted(folder: Path, mesh: UvMesh, texture: Float[np.ndarray, "height width 3"]) -> None:
    """Write the mesh with a texture [height, width, 3]: GLB, and OBJ + MTL + PNG."""
    save_uv_mesh(folder, mesh, material="mesh")
    (folder / "mesh.mtl").write_text("newmtl object\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd mesh.png\n")
    write_png(folder / "mesh.png", texture)
    away = far_from_origin(mesh.vertices)
    split = mesh.split(mesh.vertices - away, texture)
    up = int(np.abs(mesh.placement.rotation[2]).argmax())
    stand = np.eye(4)
    if up == 2:  # (x, y, z) of a z-up file is (x, z, -y) of glTF's y-up scene
        stand[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    stand[:3, 3] = stand[:3, :3] @ away
    # Normals are found in the world, whose units are known, and turned back.
    normals = vertex_normals(mesh.split(mesh.world_vertices(), texture).vertices, split.faces) @ mesh.placement.rotation
    content = glb_bytes(split.vertices, normals, split, stand)
    (folder / "mesh.glb").write_bytes(content)


def far_from_origin(vertices: Float[np.ndarray, "vertices 3"]) -> Float[np.ndarray, "3"]:
    """The whole-numbered middle of a mesh whose vertices float32 would not tell apart where it lies; else zeros."""
    size = float(np.ptp(vertices, axis=0).max())
    middle = (vertices.max(0) + vertices.min(0)) / 2
    return middle.round() if np.abs(middle).max() > FAR * size else np.zeros(3)


def load_painted(folder: Path) -> TexturedMesh:
    """Read what `save_painted` wrote, in world coordinates."""
    mesh = load_uv_mesh(folder)
    texture = from_bytes((folder / "mesh.png").read_bytes())
    return mesh.split(mesh.world_vertices(), texture)
