"""A field whose density and colours are known, and the density grid of a sphere, for tests of meshes."""

import numpy as np
import torch

from prior3d.fields import DenseGrids, FieldConfig, ObjectField


def painted(logit, colour, resolution: int = 49) -> ObjectField:
    """An rgb field from functions of the grid's (x, y, z): the density's logit, and rgb in (0, 1)."""
    field = ObjectField(FieldConfig(encoding=DenseGrids((resolution,)), head="rgb", channels=3, blob_density=0))
    axis = torch.linspace(-1, 1, resolution)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    content = [logit(x, y, z)[..., None], torch.logit(colour(x, y, z), eps=1e-3)]
    with torch.no_grad():
        field.encoding.grids[0].copy_(torch.cat(content, -1))
    return field


def ball(x, y, z, radius: float = 0.6):
    """A foggy ball: the density falls from about 55 inside to 0.02 outside over a quarter of a world unit."""
    return 4 * torch.tanh((radius - (x * x + y * y + z * z).sqrt()) * 10)


def two_colours(x, y, z):
    return torch.where((z > 0)[..., None], torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.2, 0.8]))


def sphere_grid(radius: float, resolution: int = 48) -> np.ndarray:
    axis = np.linspace(-1, 1, resolution)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.expm1(np.clip(20 * (radius - np.sqrt(x * x + y * y + z * z)) + np.log(11), 0, None))  # 10 at the radius
