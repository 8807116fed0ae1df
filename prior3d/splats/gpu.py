"""Splats on an NVIDIA GPU by gsplat's CUDA kernels, where gsplat is installed; plain torch draws them otherwise."""

import importlib
import importlib.util

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras, opengl_to_opencv
from prior3d.errors import Prior3dError
from prior3d.splats.model import Splats
from prior3d.splats.projection import BLUR, NEAR_PLANE


def available(device: torch.device) -> bool:
    """Whether gsplat can draw splats on a device."""
    return device.type == "cuda" and importlib.util.find_spec("gsplat") is not None


def render_by_gsplat(
    splats: Splats, camera: Cameras
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
    """Colours [height, width, 3] over black, and opacity [height, width]; differentiable to the splats.

    Args:
        splats: on a GPU.
        camera: a batch of one, on the same.

    Raises:
        Prior3dError: gsplat has no kernels for this machine.
    """
    focal, zero, one = camera.focal_pixels[0], splats.means.new_zeros(()), splats.means.new_ones(())
    x, y = splats.means.new_tensor(camera.width / 2), splats.means.new_tensor(camera.height / 2)
    intrinsics = torch.stack([focal, zero, x, zero, focal, y, zero, zero, one]).view(1, 3, 3)
    try:
        colours, opacity, _ = importlib.import_module("gsplat").rasterization(
            splats.means, splats.quats, splats.scales.exp(), splats.opacities.sigmoid(), splats.coefficients,
            torch.linalg.inv(opengl_to_opencv(camera.c2w)), intrinsics, camera.width, camera.height,
            sh_degree=splats.config.sh_degree, near_plane=NEAR_PLANE, eps2d=BLUR, packed=False,
        )  # fmt: skip
    except AttributeError as error:  # of the module that would hold the kernels, which is None
        raise Prior3dError(
            f"gsplat is installed, but its CUDA kernels are not there ({error}); install CUDA's toolkit, which makes "
            "them, or a wheel of gsplat for this torch, or uninstall gsplat: plain torch then draws the splats"
        ) from error
    return colours[0], opacity[0, ..., 0]
