"""The continuous camera, as the vector that camera-conditioned priors take as their class label.

A prior that understands it has `class_embed_type="projection"` and `projection_class_embeddings_input_dim=CAMERA_DIM`
in its UNet's configuration; the last entry says whether a camera is known at all, so a zero vector means "no camera".
"""

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Orbit

CAMERA_DIM = 16


def camera_embedding(
    azimuth_deg: Float[Tensor, "views"], elevation_deg: Float[Tensor, "views"]
) -> Float[Tensor, "views 16"]:
    """Embed viewing directions for a camera-conditioned prior.

    Args:
        azimuth_deg: 0 sees the object's front, counter-clockwise from above.
        elevation_deg: 0 is the horizon, 90 the top.

    Returns:
        four harmonics of the azimuth, two of the elevation, the unit direction, a validity flag.
    """
    azimuth, elevation = torch.deg2rad(azimuth_deg.float()), torch.deg2rad(elevation_deg.float())
    harmonics = [f(k * azimuth) for k in (1, 2, 3, 4) for f in (torch.sin, torch.cos)]
    heights = [f(k * elevation) for k in (1, 2) for f in (torch.sin, torch.cos)]
    direction = [elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()]
    return torch.stack([*harmonics, *heights, *direction, torch.ones_like(azimuth)], dim=-1)


def no_camera(n_views: int) -> Float[Tensor, "{n_views} 16"]:
    """The embedding of an unknown camera: zeros."""
    return torch.zeros(n_views, CAMERA_DIM)


def embedded_directions(cameras: Orbit) -> Float[Tensor, "frames 16"]:
    """The class labels of this project's own camera-conditioned priors."""
    return camera_embedding(cameras.azimuth_deg, cameras.elevation_deg)
