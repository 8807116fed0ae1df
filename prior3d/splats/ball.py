"""Splats before the first step where no image says anything: random in a ball (DreamGaussian, Tang et al. 2023)."""

import math

import torch
import torch.nn.functional as functional

from prior3d.cameras import Cameras, orbit_cameras, spiral_orbit
from prior3d.splats.model import Splats, SplatsConfig
from prior3d.splats.round import splats_at

MIDDLE, SPREAD = 0.5, 0.1  # of the colours
HIGHEST_DEG = 80.0  # of a camera that a mesh is made from; as many look from below


def ball_splats(config: SplatsConfig, radius: float, opacity: float, generator: torch.Generator) -> Splats:
    """Round grey Gaussians, evenly spread in a ball about the origin, as large as their neighbours are far.

    Args:
        config: what they are.
        radius: of the ball, in world units.
        opacity: of each, in (0, 1).
        generator: on the CPU.
    """
    toward = functional.normalize(torch.randn(config.n_splats, 3, generator=generator), dim=-1)
    distance = radius * torch.rand(config.n_splats, 1, generator=generator) ** (1 / 3)
    colours = MIDDLE + SPREAD * torch.randn(config.n_splats, 3, generator=generator)
    splats = splats_at(toward * distance, colours.clamp(0, 1), config)
    with torch.no_grad():
        splats.opacities.fill_(math.log(opacity / (1 - opacity)))
    return splats


def cameras_all_round(n_views: int, size: int, radius: float, fov_deg: float) -> Cameras:
    """Cameras for the mesh of splats that were drawn from all sides: also from below, so that it is closed."""
    orbit = spiral_orbit(n_views, (0.0, 360.0), (-HIGHEST_DEG, HIGHEST_DEG), radius, fov_deg)
    return orbit_cameras(orbit, size, size)
