"""Gaussians as a camera sees them: ellipses in the image (Zwicker et al. 2001, EWA splatting), in plain torch.

Limits and constants are gsplat's, so that both make the same images: 0.3 pixels squared are added to each ellipse, and
the slope of a ray is cut 30 % of the field of view beyond the image, where the linearised projection breaks down.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras, opengl_to_opencv
from prior3d.splats.model import Splats, colours_along

NEAR_PLANE = 0.01  # world units
BLUR = 0.3  # pixels squared, added to both variances
LEAST_ALPHA = 1 / 255  # what covers a pixel less is not drawn there
MOST_ALPHA = 0.999
LEAST_TRANSMITTANCE = 1e-4  # what would leave less of the light than this, and all behind it, is not drawn
SLOPE_MARGIN = 0.3


@dataclass(frozen=True)
class Projected:
    """Ellipses in one image, in the order of the splats. Those that are not seen have opacity 0.

    Attributes:
        centres: [n, 2] in pixels, x to the right, y down; the first pixel's middle is (0.5, 0.5).
        conics: [n, 3] the inverse covariance: its elements xx, xy, yy.
        variances: [n, 2] of x and y, in pixels squared.
        opacities: [n] in [0, 1].
        colours: [n, 3].
        depths: [n] along the camera's axis, in world units.
    """

    centres: Float[Tensor, "splats 2"]
    conics: Float[Tensor, "splats 3"]
    variances: Float[Tensor, "splats 2"]
    opacities: Float[Tensor, "splats"]
    colours: Float[Tensor, "splats 3"]
    depths: Float[Tensor, "splats"]


def project(splats: Splats, camera: Cameras) -> Projected:
    """Project all Gaussians into the image of one camera; differentiable to the splats.

    Args:
        splats: the Gaussians.
        camera: a batch of one.
    """
    c2w = opengl_to_opencv(camera.c2w)[0]
    focal = camera.focal_pixels[0]
    local = (splats.means - c2w[:3, 3]) @ c2w[:3, :3]
    ahead = local[:, 2] > NEAR_PLANE
    z = torch.where(ahead, local[:, 2], 1.0)
    slopes = local[:, :2] / z[:, None]
    middle = local.new_tensor([camera.width / 2, camera.height / 2])
    limits = (1 + SLOPE_MARGIN) * middle / focal
    cut = torch.minimum(torch.maximum(slopes, -limits), limits)
    axes = splats.rotations() * splats.scales.exp()[:, None]  # columns: the axes, in the world
    axes = c2w[:3, :3].T @ axes
    along = axes[:, :2] - cut[:, :, None] * axes[:, 2:]
    along = along * (focal / z)[:, None, None]
    xx = along[:, 0].square().sum(-1) + BLUR
    yy = along[:, 1].square().sum(-1) + BLUR
    xy = (along[:, 0] * along[:, 1]).sum(-1)
    over = 1 / (xx * yy - xy * xy)
    conics = torch.stack([yy * over, -xy * over, xx * over], -1)
    directions = functional.normalize(splats.means - c2w[:3, 3], dim=-1)
    opacities = torch.where(ahead, splats.opacities.sigmoid(), 0.0)
    return Projected(
        slopes * focal + middle, conics, torch.stack([xx, yy], -1), opacities,
        colours_along(splats.coefficients, directions), local[:, 2],
    )  # fmt: skip
