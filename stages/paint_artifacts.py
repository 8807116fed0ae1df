"""Artifacts about painting a surface from pictures: a mesh that carries a texture, and a texture that is not whole."""

from pathlib import Path
from typing import TYPE_CHECKING

from prior3d.errors import Prior3dError
from stages.artifacts import _AGAIN, TexturedMesh, _read
from stages.mesh_artifacts import UvMesh

if TYPE_CHECKING:
    import torch

    from prior3d.meshes.projection import PartialTexture as Paint
    from prior3d.meshes.uv import UvMesh as UvTriangles


class PaintableMesh:
    """A mesh with UVs, in either form: a `UvMesh`, or a `TexturedMesh`, whose texture then is a first guess."""

    @staticmethod
    def load(folder: Path) -> "UvTriangles":
        """Read the mesh; a Prior3dError says what is wrong with it."""
        if (folder / "placement.json").is_file():
            return UvMesh.load(folder)
        from prior3d.meshes.placement import HERE
        from prior3d.meshes.uv import UvMesh as UvTriangles

        mesh = TexturedMesh.load(folder)
        return UvTriangles(mesh.vertices, mesh.faces, mesh.uv, mesh.faces, HERE)

    @staticmethod
    def guess(folder: Path, resolution: int) -> "torch.Tensor | None":
        """The texture that the mesh comes with, at a resolution [resolution, resolution, 3]; None without one."""
        import torch
        import torch.nn.functional as functional

        if not (folder / "mesh.glb").is_file():
            return None
        texture = torch.from_numpy(TexturedMesh.load(folder).texture).float().movedim(-1, 0)[None]
        method = "area" if texture.shape[-1] > resolution else "bilinear"
        return functional.interpolate(texture, (resolution, resolution), mode=method)[0].movedim(0, -1)

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the mesh."""
        PaintableMesh.load(folder)


class PartialTexture:
    """A texture of which some texels are known, and how well: `texture.safetensors`; `texture.png` to look at."""

    @staticmethod
    def save(folder: Path, paint: "Paint") -> None:
        """Write the texture."""
        from safetensors.torch import save

        from prior3d.checkpoints import write_atomically
        from prior3d.images import write_png

        tensors = {"colours": paint.colours, "confidence": paint.confidence, "source": paint.source}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(folder / "texture.safetensors", save(plain))
        write_png(folder / "texture.png", plain["colours"].clamp(0, 1).numpy())

    @staticmethod
    def load(folder: Path, device: "torch.device | str" = "cpu") -> "Paint":
        """Read the texture; a Prior3dError says what is wrong with it."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        from prior3d.meshes.projection import PartialTexture as Paint

        path = folder / "texture.safetensors"
        try:
            tensors = load(_read(path))
            paint = Paint(*(tensors[name].to(device) for name in ("colours", "confidence", "source")))
        except (SafetensorError, KeyError) as error:
            raise Prior3dError(f"{path}: damaged ({error}). {_AGAIN}") from error
        side = paint.confidence.shape[0]
        shapes = [tuple(t.shape) for t in (paint.colours, paint.confidence, paint.source)]
        if shapes != [(side, side, 3), (side, side), (side, side)] or not paint.colours.isfinite().all():
            raise Prior3dError(f"{path}: found {shapes}, expected one square texture of finite colours. {_AGAIN}")
        return paint

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the texture."""
        PartialTexture.load(folder)
