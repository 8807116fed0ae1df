"""Rays and differentiable volume rendering."""

from prior3d.rendering.rays import near_far, project, rays, sample_distances
from prior3d.rendering.volume import (
    Rendering,
    composite,
    over,
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
    "rays",
    "render",
    "render_rays",
    "render_without_gradient",
    "sample_distances",
    "sample_points",
]
