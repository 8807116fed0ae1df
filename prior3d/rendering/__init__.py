"""Rays and differentiable volume rendering."""

from prior3d.rendering.rays import near_far, project, rays, sample_distances
from prior3d.rendering.volume import (
    Rendering,
    composite,
    over,
    ray_shares,
    render,
    render_rays,
    render_without_gradient,
    sample_points,
)

__all__ = [
    "Rendering",
    "composite",
    "near_far",
    "over",
    "project",
    "ray_shares",
    "rays",
    "render",
    "render_rays",
    "render_without_gradient",
    "sample_distances",
    "sample_points",
]
