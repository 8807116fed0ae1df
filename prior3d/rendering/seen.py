"""What an image shows where points of the world appear in it."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.rendering.rays import project


def seen_at(
    layers: Float[Tensor, "channels height width"], camera: Cameras, points: Float[Tensor, "points 3"]
) -> Float[Tensor, "channels points"]:
    """Bilinear values of an image where points appear in it; 0 outside of it and behind the camera.

    Args:
        layers: of the camera's image.
        camera: one.
        points: in the world.
    """
    pixels, distances = (found[0] for found in project(camera, points))
    places = pixels / pixels.new_tensor([camera.width, camera.height]) * 2 - 1
    found: Tensor = functional.grid_sample(layers[None], places[None, None], align_corners=False)[0, :, 0]
    return torch.where(distances > 0, found, 0.0)
