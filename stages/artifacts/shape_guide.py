"""A rough shape that a field is drawn towards: `guide.safetensors`, a grid of winding numbers and distances."""

from pathlib import Path

import torch

from prior3d.errors import Prior3dError
from prior3d.losses.shape_guide import ShapeGuide
from stages.artifacts.base import RUN_AGAIN, read_tensors, write_tensors


def save_shape_guide(folder: Path, guide: ShapeGuide) -> None:
    """Write the grid."""
    write_tensors(folder / "guide.safetensors", {"grid": guide.grid, "bound": torch.tensor(guide.bound)})


def load_shape_guide(folder: Path, device: torch.device | str = "cpu") -> ShapeGuide:
    """Read the grid; a Prior3dError says what is wrong with it."""
    path = folder / "guide.safetensors"
    tensors = read_tensors(path, "grid", "bound")
    guide = ShapeGuide(tensors["grid"], float(tensors["bound"]))
    if guide.grid.ndim != 4 or guide.grid.shape[3] != 2 or not guide.grid.isfinite().all():
        raise Prior3dError(f"{path}: found a grid {tuple(guide.grid.shape)}, or one with infinities. {RUN_AGAIN}")
    return guide.to(device)
