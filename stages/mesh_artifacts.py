"""Artifacts about a person's mesh: the file itself, a shape to follow, a mesh with UVs, a texture of latents."""

from pathlib import Path
from typing import TYPE_CHECKING

from prior3d.errors import Prior3dError
from stages.artifacts import _AGAIN, Mesh, _read

if TYPE_CHECKING:
    import torch

    from prior3d.meshes.mesh import Mesh as Triangles
    from prior3d.meshes.uv import UvMesh as UvTriangles
    from prior3d.shape_guide import ShapeGuide as Guide


class MeshFile:
    """A mesh as a person gives it: one file; what is in it is looked at by the stage that reads it."""

    @staticmethod
    def validate(path: Path) -> None:
        """It is a file, and not empty."""
        if path.is_dir():
            raise Prior3dError(f"{path}: a mesh file is needed, this is a folder. Give one OBJ, PLY, STL or GLB file.")
        _read(path)


class ShapeGuide:
    """A rough shape to follow: `guide.safetensors` (winding number and distance), and `mesh.ply`, the shape placed."""

    @staticmethod
    def save(folder: Path, guide: "Guide", mesh: "Triangles") -> None:
        """Write the grid and the shape that it is of."""
        import torch
        from safetensors.torch import save

        from prior3d.checkpoints import write_atomically

        tensors = {"grid": guide.grid.cpu().contiguous(), "bound": torch.tensor(guide.bound)}
        write_atomically(folder / "guide.safetensors", save(tensors))
        Mesh.save(folder, mesh)

    @staticmethod
    def load(folder: Path, device: "torch.device | str" = "cpu") -> "Guide":
        """Read the grid; a Prior3dError says what is wrong with it."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        from prior3d.shape_guide import ShapeGuide as Guide

        path = folder / "guide.safetensors"
        try:
            tensors = load(_read(path))
            guide = Guide(tensors["grid"], float(tensors["bound"]))
        except (SafetensorError, KeyError) as error:
            raise Prior3dError(f"{path}: damaged ({error}). {_AGAIN}") from error
        if guide.grid.ndim != 4 or guide.grid.shape[3] != 2 or not guide.grid.isfinite().all():
            raise Prior3dError(f"{path}: found a grid {tuple(guide.grid.shape)}, or one with infinities. {_AGAIN}")
        return guide.to(device)

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the grid and the mesh."""
        ShapeGuide.load(folder)
        Mesh.load(folder)


class UvMesh:
    """A person's mesh with UVs: `mesh.obj` in its own coordinates, `placement.json` from there to the world."""

    @staticmethod
    def save(folder: Path, mesh: "UvTriangles") -> None:
        """Write the mesh."""
        from prior3d.meshes.painted_files import save_uv_mesh

        save_uv_mesh(folder, mesh)

    @staticmethod
    def load(folder: Path) -> "UvTriangles":
        """Read the mesh; a Prior3dError says what is wrong with it."""
        from prior3d.meshes.painted_files import load_uv_mesh

        return load_uv_mesh(folder)

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the mesh: faces, UVs and placement are there."""
        UvMesh.load(folder)


class LatentTexture:
    """A square texture of a prior's latents: `texture.safetensors`."""

    @staticmethod
    def save(folder: Path, latents: "torch.Tensor") -> None:
        """Write latents [height, width, channels]."""
        from safetensors.torch import save

        from prior3d.checkpoints import write_atomically

        write_atomically(folder / "texture.safetensors", save({"latents": latents.detach().cpu().contiguous()}))

    @staticmethod
    def load(folder: Path, device: "torch.device | str" = "cpu") -> "torch.Tensor":
        """Read the latents [height, width, channels]; a Prior3dError says what is wrong with them."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = folder / "texture.safetensors"
        try:
            latents = load(_read(path))["latents"]
        except (SafetensorError, KeyError) as error:
            raise Prior3dError(f"{path}: damaged ({error}). {_AGAIN}") from error
        if latents.ndim != 3 or latents.shape[0] != latents.shape[1] or not latents.isfinite().all():
            raise Prior3dError(f"{path}: {tuple(latents.shape)} is no square texture, or not finite. {_AGAIN}")
        return latents.to(device)

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the texture."""
        LatentTexture.load(folder)
