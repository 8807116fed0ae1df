"""Meshes on disk: a person's file, bare triangles, a textured mesh, a mesh with UVs."""

from pathlib import Path

import torch
import torch.nn.functional as functional

from prior3d.errors import Prior3dError
from prior3d.meshes.files import check_glb, load_glb, load_ply, save_glb, save_obj, save_ply
from prior3d.meshes.mesh import HERE, Mesh, TexturedMesh, UvMesh
from prior3d.meshes.painted_files import load_painted, load_uv_mesh
from stages.artifacts.base import read_file


def check_mesh_file(path: Path) -> None:
    """Check that a person's mesh is one file that is not empty; the stage that reads it looks at what is in it."""
    if path.is_dir():
        raise Prior3dError(f"{path}: a mesh file is needed, this is a folder. Give one OBJ, PLY, STL or GLB file.")
    read_file(path)


def save_mesh(folder: Path, mesh: Mesh) -> None:
    """Write triangles without colours as `mesh.ply`, in world coordinates."""
    save_ply(folder / "mesh.ply", mesh)


def load_mesh(folder: Path) -> Mesh:
    """Read `mesh.ply`; a Prior3dError says what is wrong with it."""
    return load_ply(folder / "mesh.ply")


def check_mesh(folder: Path) -> None:
    """Load the mesh: it has faces and finite vertices."""
    load_mesh(folder)


def save_textured_mesh(folder: Path, mesh: TexturedMesh) -> None:
    """Write the result both ways: `mesh.glb` with the texture inside, and `mesh.obj`, `mesh.mtl`, `mesh.png`."""
    save_glb(folder / "mesh.glb", mesh)
    save_obj(folder, mesh)


def load_textured_mesh(folder: Path) -> TexturedMesh:
    """Read a textured mesh in world coordinates; a Prior3dError says what is wrong with it.

    A person's painted mesh lies in its own coordinates, with a `placement.json` beside it.
    """
    if (folder / "placement.json").is_file():
        check_glb(folder / "mesh.glb")
        return load_painted(folder)
    return load_glb(folder / "mesh.glb")


def check_textured_mesh(folder: Path) -> None:
    """Load the mesh: faces, texture and UVs are there; the OBJ's files are there and not empty."""
    load_textured_mesh(folder)
    for name in ("mesh.obj", "mesh.mtl", "mesh.png"):
        read_file(folder / name)


def check_uv_mesh(folder: Path) -> None:
    """Load a person's mesh with UVs: faces, UVs and placement are there."""
    load_uv_mesh(folder)


def load_paintable_mesh(folder: Path) -> UvMesh:
    """Read a mesh with UVs in either form: a person's mesh with UVs, or a textured mesh.

    Raises:
        Prior3dError: says what is wrong with it.
    """
    if (folder / "placement.json").is_file():
        return load_uv_mesh(folder)
    mesh = load_textured_mesh(folder)
    return UvMesh(mesh.vertices, mesh.faces, mesh.uv, mesh.faces, HERE)


def load_base_texture(folder: Path, resolution: int) -> torch.Tensor | None:
    """The texture that a paintable mesh comes with: [resolution, resolution, 3]; None without one."""
    if not (folder / "mesh.glb").is_file():
        return None
    texture = torch.from_numpy(load_textured_mesh(folder).texture).float().movedim(-1, 0)[None]
    method = "area" if texture.shape[-1] > resolution else "bilinear"
    return functional.interpolate(texture, (resolution, resolution), mode=method)[0].movedim(0, -1)


def check_paintable_mesh(folder: Path) -> None:
    """Load the mesh."""
    load_paintable_mesh(folder)
