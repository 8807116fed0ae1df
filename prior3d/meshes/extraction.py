"""From a field's density to a surface: floaters and cavities out, marching cubes."""

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from skimage.measure import marching_cubes
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.fields import RadianceField
from prior3d.meshes.mesh import Mesh


def density_grid(
    field: RadianceField, resolution: int, smoothing_cells: float = 0.0, points_at_once: int = 2**17
) -> Float[Tensor, "z y x"]:
    """Sample the density on a grid whose corner nodes are the corners of the field's box.

    Args:
        field: on any device.
        resolution: nodes along each axis.
        smoothing_cells: standard deviation of a Gaussian over log(1 + density), in cells; 0 leaves it as it is.
        points_at_once: limits the memory.

    Returns:
        [z, y, x] density, on the field's device, no gradient.
    """
    device = next(field.parameters()).device
    axis = torch.linspace(-field.config.bound, field.config.bound, resolution, device=device)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], -1).view(-1, 3)
    with torch.no_grad():
        density = torch.cat([field.density(piece) for piece in points.split(points_at_once)]).view_as(x)
    if not density.isfinite().all():
        raise Prior3dError("mesh: the field's density is not finite. Lower the learning_rate of the stage before.")
    if smoothing_cells > 0:
        # Density spans decades; smoothed as it is, one hot cell would swell over its neighbours.
        smooth = ndimage.gaussian_filter(density.log1p().cpu().numpy(), smoothing_cells, mode="constant")
        density = torch.from_numpy(np.expm1(smooth)).to(density)
    return density


def remove_small_parts(
    grid: Float[np.ndarray, "z y x"], threshold: float, min_part: float, min_extent: float = 1.0
) -> tuple[Float[np.ndarray, "z y x"], int]:
    """Remove floaters, and fill cavities that nobody sees.

    Args:
        grid: [z, y, x] density.
        threshold: cells above it are solid.
        min_part: parts with less than this share of the largest part's cells are removed; in [0, 1].
        min_extent: but not those whose box has this share of the largest part's diagonal: a thin part is no floater.

    Returns:
        the grid, with removed parts at 0 and cavities above the threshold, and how many parts were removed.

    Raises:
        Prior3dError: nothing is above the threshold.
    """
    solid = grid >= threshold
    labels, n_parts = ndimage.label(solid, structure=np.ones((3, 3, 3)))
    if n_parts == 0:
        raise Prior3dError(
            f"mesh: nothing is denser than the threshold {threshold:.3g} (the greatest density is {grid.max():.3g}). "
            "Lower mesh_extraction.threshold, or leave it out to have it chosen."
        )
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    lengths = np.array(
        [0.0, *(np.hypot.reduce([s.stop - s.start for s in box]) for box in ndimage.find_objects(labels))]
    )
    kept = (sizes >= min_part * sizes.max()) | (lengths >= min_extent * lengths[sizes.argmax()])
    kept[0] = False
    cleaned = np.where(solid & ~kept[labels], 0.0, grid)
    cavities = ndimage.binary_fill_holes(kept[labels]) & ~kept[labels]
    cleaned[cavities] = np.maximum(cleaned[cavities], 2 * threshold)
    return cleaned, int(n_parts - kept.sum())


def isosurface(grid: Float[np.ndarray, "z y x"], threshold: float, bound: float) -> Mesh:
    """Marching cubes at a threshold, closed at the sides of the box, faces counter-clockwise seen from outside.

    Args:
        grid: [z, y, x] density over [-bound, bound]^3.
        threshold: of the density.
        bound: half the side of the box.
    """
    # log(1 + density): along an edge of a cell an exponential density is closer to linear there than as it is.
    values = np.log1p(np.pad(grid.transpose(2, 1, 0), 1)).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(values, float(np.log1p(threshold)), gradient_direction="ascent")
    cells = grid.shape[0] - 1
    return Mesh((vertices - 1) / cells * 2 * bound - bound, faces.astype(np.int64))


def cut_share(mesh: Mesh, bound: float, cell: float) -> float:
    """How much of a surface's area lies on the sides of its box, where what goes on outside is cut off and closed.

    Args:
        mesh: as `isosurface` makes it.
        bound: half the side of the box.
        cell: side of a cell of its grid.
    """
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    on_a_side = (np.abs(corners) > bound - 0.5 * cell).all(1).any(-1)
    return float(areas[on_a_side].sum() / max(areas.sum(), 1e-12))
