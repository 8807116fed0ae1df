"""Shaded views of an object while it is distilled: light shows a prior the form that flat colours hide.

Poole et al. 2022 (DreamFusion), section 3.1, as RealFusion's released code has it: once shading has begun, a view keeps
its colours, or shows them lit from beside the camera, or shows the form alone in white.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.fields import ObjectField
from prior3d.rendering import Rendering, rays
from prior3d.sending import sent
from prior3d.settings.single_image import ShadingSettings

NORMAL_STEP = 0.03  # world units, of the differences that normals are made of


def surface_normals(
    field: ObjectField, rendering: Rendering, cameras: Cameras
) -> Float[Tensor, "views height width 3"]:
    """Outward unit normals where rays meet the surface, at their mean depth; differentiable to the field.

    RealFusion composites normals of all samples; one normal a ray costs a fiftieth of that.
    """
    origins, directions = rays(cameras)
    points = origins + directions * rendering.depth.detach()[..., None]
    return field.normals(points.view(-1, 3), NORMAL_STEP).view(*points.shape)


def draw_shading(settings: ShadingSettings, progress: float, generator: Callable[[str], torch.Generator]) -> str:
    """How the views of a step are shown: `albedo`, `textureless` or `lambertian`; "shading" is drawn once it began."""
    if progress < settings.starts_at or settings.textureless + settings.lambertian == 0:
        return "albedo"
    drawn = float(torch.rand((), generator=generator("shading")))
    if drawn < settings.textureless:
        return "textureless"
    return "lambertian" if drawn < settings.textureless + settings.lambertian else "albedo"


def shaded(
    rendering: Rendering,
    normals: Float[Tensor, "views height width 3"],
    cameras: Cameras,
    kind: str,
    ambient: float,
    generator: Callable[[str], torch.Generator],
) -> Float[Tensor, "views height width 3"]:
    """Premultiplied colours of views under a light near the camera.

    Args:
        rendering: of the views, without a background.
        normals: outward, unit.
        cameras: the views; the light stands at each one's place, moved by a standard normal.
        kind: `textureless`, white in place of the colours, or `lambertian`.
        ambient: light that falls everywhere, of 1.
        generator: of `Seeds`: a name to a generator; "light" is drawn from.
    """
    moved = sent(torch.randn(cameras.positions.shape, generator=generator("light")), normals)
    light = functional.normalize(cameras.positions + moved, dim=-1)[:, None, None]
    brightness = ambient + (1 - ambient) * (normals * light).sum(-1).clamp_min(0)
    albedo = rendering.opacity[..., None] if kind == "textureless" else rendering.features
    return albedo.expand_as(normals) * brightness[..., None]
