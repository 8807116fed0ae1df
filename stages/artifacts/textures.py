"""Textures on disk: a prior's latents on an atlas, and a texture of which only some texels are known."""

from pathlib import Path

import torch

from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from prior3d.meshes.projection import PartialTexture
from stages.artifacts.base import RUN_AGAIN, read_tensors, write_tensors


def save_latent_texture(folder: Path, latents: torch.Tensor) -> None:
    """Write latents [height, width, channels] as `texture.safetensors`."""
    write_tensors(folder / "texture.safetensors", {"latents": latents})


def load_latent_texture(folder: Path, device: torch.device | str = "cpu") -> torch.Tensor:
    """Read the latents [height, width, channels]; a Prior3dError says what is wrong with them."""
    path = folder / "texture.safetensors"
    latents = read_tensors(path, "latents")["latents"]
    if latents.ndim != 3 or latents.shape[0] != latents.shape[1] or not latents.isfinite().all():
        raise Prior3dError(f"{path}: {tuple(latents.shape)} is no square texture, or not finite. {RUN_AGAIN}")
    return latents.to(device)


def check_latent_texture(folder: Path) -> None:
    """Load the texture."""
    load_latent_texture(folder)


def save_partial_texture(folder: Path, texture: PartialTexture) -> None:
    """Write `texture.safetensors` (colours, confidence, source), and `texture.png` to look at."""
    tensors = {"colours": texture.colours, "confidence": texture.confidence, "source": texture.source}
    write_tensors(folder / "texture.safetensors", tensors)
    write_png(folder / "texture.png", texture.colours.detach().cpu().clamp(0, 1).numpy())


def load_partial_texture(folder: Path, device: torch.device | str = "cpu") -> PartialTexture:
    """Read the texture; a Prior3dError says what is wrong with it."""
    path = folder / "texture.safetensors"
    names = ("colours", "confidence", "source")
    tensors = read_tensors(path, *names)
    texture = PartialTexture(*(tensors[name].to(device) for name in names))
    side = texture.confidence.shape[0]
    shapes = [tuple(t.shape) for t in (texture.colours, texture.confidence, texture.source)]
    if shapes != [(side, side, 3), (side, side), (side, side)] or not texture.colours.isfinite().all():
        raise Prior3dError(f"{path}: found {shapes}, expected one square texture of finite colours. {RUN_AGAIN}")
    return texture


def check_partial_texture(folder: Path) -> None:
    """Load the texture."""
    load_partial_texture(folder)
