"""Images of splats: projected, composited front to back by the fastest way that the device has, over a background."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.splats import gpu, kernels
from prior3d.splats.kernels import composite_loops, median_depth_loops
from prior3d.splats.model import Splats
from prior3d.splats.pairs import composite_pairs, median_depth_pairs
from prior3d.splats.projection import Projected, project
from prior3d.splats.projection_loops import project_loops

Composite = Callable[[Projected, int, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class SplatRendering:
    """What one camera sees.

    Attributes:
        colours: [height, width, 3], over the background if one was given, else premultiplied.
        opacity: [height, width].
    """

    colours: Float[Tensor, "height width 3"]
    opacity: Float[Tensor, "height width"]


def render_splats(
    splats: Splats,
    camera: Cameras,
    background: Float[Tensor, "3"] | None = None,
    composite: Composite | None = None,
) -> SplatRendering:
    """Render one image; differentiable to the splats.

    Args:
        splats: the Gaussians.
        camera: a batch of one, on their device.
        background: [3] what is seen where they are not opaque.
        composite: how ellipses are composited; None: by compiled loops on a CPU with numba, by gsplat on a GPU with
            gsplat, else by lists of pairs.
    """
    device = splats.means.device
    if composite is None and gpu.available(device):
        colours, opacity = gpu.render_by_gsplat(splats, camera)
    elif composite is None and _has_loops(splats.means):
        colours, opacity = composite_loops(project_loops(splats, camera), camera.height, camera.width)
    else:
        colours, opacity = (composite or composite_pairs)(project(splats, camera), camera.height, camera.width)
    if background is not None:
        colours = colours + (1 - opacity)[..., None] * background
    return SplatRendering(colours, opacity)


@torch.no_grad()
def median_depths(splats: Splats, camera: Cameras) -> Float[Tensor, "height width"]:
    """[height, width] the depth along the axis at which half of the light is taken, in world units; 0: it never is."""
    if _has_loops(splats.means):
        return median_depth_loops(project_loops(splats, camera), camera.height, camera.width)
    return median_depth_pairs(project(splats, camera), camera.height, camera.width)


def _has_loops(means: Float[Tensor, "splats 3"]) -> bool:
    """Whether the compiled loops can draw splats with these centres."""
    return means.device.type == "cpu" and means.dtype == torch.float32 and kernels.available()
