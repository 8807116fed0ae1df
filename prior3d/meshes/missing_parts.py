"""Parts of an image's object that a surface has not: raised at the depth of the outline that they stick out of.

A field may hold what only its image shows (a leaf, an ear) anywhere between the camera and the object, as a floater.
Once floaters are gone, such a part is missing from the outline. It is put back as deep as the object's middle at the
nearest pixel that does show it, and as thick as it is wide.
"""

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.fields.trilinear import sample_grid
from prior3d.rendering.rays import near_far, project, rays, sample_distances

LEAST_WIDTH = 3  # pixels across at its widest; thinner missing parts are how two outlines differ anyway
OVERLAP_PIXELS = 3  # by which what is raised reaches into what is there
SLOPE = 2.0  # of log(1 + density) a cell, across the surface of what is raised


def fill_missing_parts(
    grid: Float[Tensor, "z y x"], bound: float, threshold: float, camera: Cameras, mask: Float[Tensor, "height width"]
) -> Float[Tensor, "z y x"]:
    """Raise what a mask shows and a surface has not.

    Args:
        grid: [z, y, x] density over [-bound, bound]^3, without floaters.
        bound: half the side of its box, in world units.
        threshold: density that is the surface.
        camera: one.
        mask: [height, width] in [0, 1] of the object, as that camera sees it.

    Returns:
        [z, y, x] density; the grid itself where nothing is missing.
    """
    depth, hit = _middles(grid, bound, threshold, camera)
    wanted = (mask > 0.5).cpu().numpy()
    missing = _wide_enough(wanted & ~hit)
    if not missing.any() or not hit.any():
        return grid
    rows, columns = ndimage.distance_transform_edt(~hit, return_distances=False, return_indices=True)
    middle = ndimage.gaussian_filter(depth[rows, columns], 1.0)
    cell = 2 * bound / (grid.shape[0] - 1)
    pixel = middle / camera.focal_pixels.item()
    width = ndimage.distance_transform_edt(np.pad(wanted, 1))[1:-1, 1:-1]
    half = np.maximum(np.minimum(width, width[missing].max()) * pixel, 1.5 * cell)
    # A few pixels farther on all sides, so that what is raised grows together with what is there.
    near = ndimage.binary_dilation(missing, np.ones((3, 3)), iterations=OVERLAP_PIXELS)
    layers = np.stack([mask.cpu().numpy(), middle, half, pixel, near]).astype(np.float32)
    return _raised(grid, bound, threshold, camera, torch.from_numpy(layers).to(grid))


def _raised(
    grid: Float[Tensor, "z y x"],
    bound: float,
    threshold: float,
    camera: Cameras,
    layers: Float[Tensor, "5 height width"],
) -> Float[Tensor, "z y x"]:
    """The grid, denser where nodes lie within the slab that the layers (mask, middle, half, pixel, near) describe."""
    axis = torch.linspace(-bound, bound, grid.shape[0], device=grid.device)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    pixels, distances = (found[0] for found in project(camera, torch.stack([x, y, z], -1).view(-1, 3)))
    size = pixels.new_tensor([camera.width, camera.height])
    places = (pixels / size * 2 - 1)[None, None]
    alpha, middle, half, pixel, near = functional.grid_sample(layers[None], places, align_corners=False)[0, :, 0]
    cell = 2 * bound / (grid.shape[0] - 1)
    across = (alpha - 0.5) * pixel  # a mask falls from 1 to 0 over about a pixel
    depth = half - (distances - middle).abs()
    inside = torch.minimum(across, depth) / cell * SLOPE
    level = torch.tensor(threshold, device=grid.device).log1p()
    logarithm = torch.where((near > 0.5) & (distances > 0), level + inside, 0.0).view_as(grid)
    return torch.maximum(grid, logarithm.clamp_min(0).expm1())


def _middles(
    grid: Float[Tensor, "z y x"], bound: float, threshold: float, camera: Cameras, n_samples: int = 128
) -> tuple[Float[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """Per pixel, the distance half way between the first and the last dense sample, and whether there is any."""
    origins, directions = (values.reshape(-1, 3).to(grid.device) for values in rays(camera))
    near, far = near_far(origins, directions, bound, 3**0.5 * bound)
    begins, ends = sample_distances(near, far, n_samples, None)
    middles = (begins + ends) / 2
    points = origins[:, None] + directions[:, None] * middles[..., None]
    dense = sample_grid(grid[..., None], points.view(-1, 3) / bound).view_as(middles) >= threshold
    dense &= (far > near)[:, None]
    first = torch.where(dense, middles, torch.inf).amin(-1)
    last = torch.where(dense, middles, -torch.inf).amax(-1)
    hit = dense.any(-1)
    shape = (camera.height, camera.width)
    depth = torch.where(hit, (first + last) / 2, 0.0).view(shape)
    return depth.cpu().numpy(), hit.view(shape).cpu().numpy()


def _wide_enough(missing: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Connected parts of [height, width] bool that hold a square of `LEAST_WIDTH` pixels, whole."""
    labels, _ = ndimage.label(missing, structure=np.ones((3, 3)))
    cores = ndimage.binary_erosion(missing, np.ones((LEAST_WIDTH, LEAST_WIDTH)))
    kept = np.unique(labels[cores])
    return missing & np.isin(labels, kept)
