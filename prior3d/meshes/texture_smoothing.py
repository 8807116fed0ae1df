"""The grain of a baked texture smoothed away over the surface, across charts; edges between colours stay.

A bilateral filter (Tomasi and Manduchi 1998) over the texels' places in space: a texel becomes the mean of its
neighbours, the nearer, the more alike in colour and in the way that they face, the more. It runs on a smaller texture,
and what it changes there is added to the texture itself, so detail finer than that stays as it is.
"""

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from prior3d.meshes.mesh import UvMesh
from prior3d.meshes.projection import dilate_charts, surface_texels

RESOLUTION, NEIGHBOURS, STEPS = 256, 32, 4


def smooth_texture(
    mesh: UvMesh, texture: Float[Tensor, "resolution resolution 3"], radius: float, edge: float
) -> Float[Tensor, "resolution resolution 3"]:
    """Smooth a texture over its mesh.

    Args:
        mesh: on whose surface the texels lie.
        texture: [resolution, resolution, 3] in [0, 1].
        radius: standard deviation of the distance, in world units; 0 leaves the texture as it is.
        edge: standard deviation of the colours' difference; colours farther apart are not mixed.

    Returns:
        [resolution, resolution, 3] in [0, 1], on the texture's device.
    """
    if radius == 0:
        return texture
    resolution = min(RESOLUTION, texture.shape[0])
    layers = texture.movedim(-1, 0)[None]
    small = functional.interpolate(layers, (resolution, resolution), mode="area")[0].movedim(0, -1)
    texels = surface_texels(mesh, resolution, texture.device)
    before = texels.from_texture(small)
    after = _bilateral(texels.positions.cpu().numpy(), texels.normals.cpu().numpy(), before.cpu().numpy(), radius, edge)
    change = dilate_charts(texels.to_texture(torch.from_numpy(after).to(before) - before), texels).movedim(-1, 0)[None]
    change = functional.interpolate(change, texture.shape[:2], mode="bilinear", align_corners=False)
    return (texture + change[0].movedim(0, -1)).clamp(0, 1)


def _bilateral(
    places: Float[np.ndarray, "texels 3"],
    normals: Float[np.ndarray, "texels 3"],
    colours: Float[np.ndarray, "texels 3"],
    radius: float,
    edge: float,
) -> Float[np.ndarray, "texels 3"]:
    """Colours [n, 3] of points [n, 3] with unit normals [n, 3], filtered a few times."""
    distances, nearest = cKDTree(places).query(places, min(NEIGHBOURS, len(places)))
    alike = np.maximum((normals[nearest] * normals[:, None]).sum(-1), 0)
    near = np.exp(-0.5 * (distances / radius) ** 2) * alike
    for _ in range(STEPS):
        around = colours[nearest]
        difference = ((around - colours[:, None]) ** 2).sum(-1)
        weights = near * np.exp(-0.5 * difference / edge**2)
        colours = (weights[..., None] * around).sum(1) / weights.sum(1, keepdims=True)
    return colours
