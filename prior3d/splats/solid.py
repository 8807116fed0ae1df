"""The surface of splats as that of a solid: where the sum of their densities passes a threshold.

DreamGaussian (Tang et al. 2023, section 3.2) makes its mesh so. The surface is closed, and has few hollows where the
first Gaussians along a ray are faint. Gaussians that a prior made are like that; those of many photos lie on surfaces.
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.meshes.extraction import isosurface
from prior3d.meshes.mesh import Mesh
from prior3d.rendering.rays import rays
from prior3d.splats.model import Splats
from prior3d.splats.render import render_splats

REACH = 3.0  # standard deviations, beyond which a Gaussian has no density
THRESHOLDS = (0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8, 1.1)
AS_GOOD = 0.01  # overlap that is given up for a lower threshold, which has fewer hollows
MOST_VIEWS, SIDE, N_SAMPLES = 12, 64, 128  # of the silhouettes that choose; samples along a ray


def solid_surface(splats: Splats, cameras: Cameras, resolution: int) -> Mesh:
    """The closed surface in the box whose silhouettes match the images of the splats.

    Args:
        splats: of an object.
        cameras: [views] all round; some of them compare silhouettes.
        resolution: nodes of the density grid along the box's side.

    Raises:
        Prior3dError: the box holds no density.
    """
    bound = splats.config.bound
    grid = density_grid(splats, bound, resolution)
    if float(grid.max()) <= THRESHOLDS[0]:
        raise Prior3dError(
            f"mesh: the splats' density in the unit box is {float(grid.max()):.3f} at most, so there is no surface; "
            "look at coarse_nerf/preview.png, and raise coarse_nerf.steps or coarse_nerf.splats.start_opacity"
        )
    return isosurface(grid.numpy(), chosen_threshold(splats, cameras, grid), bound)


@torch.no_grad()
def density_grid(splats: Splats, bound: float, resolution: int) -> Float[Tensor, "z y x"]:
    """[z, y, x] the sum of opacity times Gaussian at nodes over [-bound, bound]^3; on the CPU."""
    axis, cell = torch.linspace(-bound, bound, resolution), 2 * bound / (resolution - 1)
    means, opacities = splats.means.cpu(), splats.opacities.sigmoid().cpu()
    axes, sizes = splats.rotations().cpu(), splats.scales.exp().cpu()
    extents = REACH * (axes * sizes[:, None]).square().sum(-1).sqrt()  # [n, 3] half the sides of boxes round them
    first = ((means - extents + bound) / cell).ceil().clamp(0, resolution).long()
    after = ((means + extents + bound) / cell).floor().clamp(-1, resolution - 1).long() + 1
    whiten = axes / sizes[:, None]
    grid = torch.zeros(resolution, resolution, resolution)
    for i in ((after > first).all(-1)).nonzero()[:, 0].tolist():
        x, y, z = (slice(a, b) for a, b in zip(first[i].tolist(), after[i].tolist(), strict=True))
        nodes = torch.stack(torch.meshgrid(axis[z], axis[y], axis[x], indexing="ij")[::-1], -1)
        distance = ((nodes - means[i]) @ whiten[i]).square().sum(-1)
        grid[z, y, x] += torch.where(distance <= REACH**2, opacities[i] * torch.exp(-0.5 * distance), 0.0)
    return grid


@torch.no_grad()
def chosen_threshold(splats: Splats, cameras: Cameras, grid: Float[Tensor, "z y x"]) -> float:
    """The lowest threshold whose silhouettes overlap the images' nearly as well as the best threshold's."""
    n = min(MOST_VIEWS, cameras.views)
    some = cameras[torch.arange(n) * cameras.views // n].resized(SIDE, SIDE)
    opacity = torch.stack([render_splats(splats, some[view]).opacity for view in range(n)]).cpu()
    highest = highest_along_rays(some.to("cpu"), grid, splats.config.bound)
    opaque = opacity > 0.5
    overlaps = [float(((highest > t) & opaque).sum() / ((highest > t) | opaque).sum().clamp_min(1)) for t in THRESHOLDS]
    return next(t for t, overlap in zip(THRESHOLDS, overlaps, strict=True) if overlap >= max(overlaps) - AS_GOOD)


def highest_along_rays(
    cameras: Cameras, grid: Float[Tensor, "z y x"], bound: float
) -> Float[Tensor, "views height width"]:
    """The highest density on the ray of each pixel."""
    origins, directions = rays(cameras)
    middle = -(origins * directions).sum(-1, keepdim=True)  # where a ray is nearest to the origin
    distances = middle + bound * 3**0.5 * torch.linspace(-1, 1, N_SAMPLES)
    points = (origins[..., None, :] + directions[..., None, :] * distances.clamp_min(0)[..., None]) / bound
    found = functional.grid_sample(grid[None, None], points.reshape(1, 1, 1, -1, 3), align_corners=True)
    highest: Tensor = found.view(*points.shape[:-1]).amax(-1)
    return highest
