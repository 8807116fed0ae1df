"""Which density is the surface? The one whose outlines are those of the field's own images.

A mesh from a guessed isovalue is the usual reason that it looks much worse than the render: too low and the fog becomes
a crust, too high and thin parts vanish. Here every candidate's outlines are compared with the rendered opacity, all
round the object. A ray meets the surface of a threshold exactly when the greatest density along it reaches the
threshold, so one march gives the outlines of all candidates at once and no mesh has to be built for it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import Cameras, orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.fields import RadianceField
from prior3d.fields.trilinear import sample_grid
from prior3d.rendering.rays import near_far, rays, sample_distances

PLATEAU = 0.005


@dataclass(frozen=True)
class Silhouettes:
    """What rays all round the object see.

    Attributes:
        opacity: [rays] in [0, 1], the field's rendered opacity.
        depth: [rays] distance at which half of the light is stopped; only where opaque.
        along: [rays, samples] density of the grid.
        distances: [rays, samples] middles of the intervals.
    """

    opacity: Float[Tensor, "rays"]
    depth: Float[Tensor, "rays"]
    along: Float[Tensor, "rays samples"]
    distances: Float[Tensor, "rays samples"]

    @property
    def opaque(self) -> Bool[Tensor, "rays"]:
        """[rays] bool, more than half of the light is stopped."""
        return self.opacity > 0.5


@dataclass(frozen=True)
class Threshold:
    """A chosen isovalue.

    Attributes:
        density: in 1 / world unit.
        silhouette_iou: overlap of its outlines with the field's, over all views.
        depth_error: median distance between its surface and the field's depth, in world units.
    """

    density: float
    silhouette_iou: float
    depth_error: float


def viewing_ring(n_azimuths: int = 8, size: int = 48) -> Cameras:
    """Cameras round the object at two heights that see the whole of it: 2 n_azimuths views of size^2 pixels."""
    low, high = ring(n_azimuths, 5.0, fov_deg=45.0), ring(n_azimuths, 35.0, fov_deg=45.0, start_deg=180.0 / n_azimuths)
    first, second = orbit_cameras(low, size, size), orbit_cameras(high, size, size)
    return Cameras(torch.cat([first.c2w, second.c2w]), torch.cat([first.fov_deg, second.fov_deg]), size, size)


def march_silhouettes(
    field: RadianceField, grid: Float[Tensor, "z y x"], cameras: Cameras, n_samples: int = 96, rays_at_once: int = 4096
) -> Silhouettes:
    """March all rays of the cameras through the field and through the grid that will become a mesh.

    Args:
        field: gives the opacity to be matched.
        grid: [z, y, x] density over the field's box, on the field's device.
        cameras: [views].
        n_samples: samples a ray.
        rays_at_once: limits the memory.
    """
    origins, directions = (values.reshape(-1, 3).to(grid.device) for values in rays(cameras))
    pieces = []
    with torch.no_grad():
        for start, toward in zip(origins.split(rays_at_once), directions.split(rays_at_once), strict=True):
            near, far = near_far(start, toward, field.config.bound, field.config.ball_radius)
            begins, ends = sample_distances(near, far, n_samples, None)
            middles = (begins + ends) / 2
            points = (start[:, None] + toward[:, None] * middles[..., None]).view(-1, 3)
            stopped = (field.density(points).view_as(middles) * (ends - begins)).cumsum(-1)
            half = torch.searchsorted(stopped, stopped.new_full((len(stopped), 1), 0.693147)).clamp(max=n_samples - 1)
            missed = (far <= near)[:, None]
            along = sample_grid(grid[..., None], points / field.config.bound).view_as(middles).masked_fill(missed, 0)
            pieces.append((1 - (-stopped[:, -1]).exp(), middles.gather(1, half)[:, 0], along, middles))
    return Silhouettes(*(torch.cat(part) for part in zip(*pieces, strict=True)))


def choose_threshold(seen: Silhouettes, n_candidates: int = 96) -> Threshold:
    """The threshold whose outlines overlap best with the rendered ones.

    Candidates are spread evenly over the densities that rays reach. Among those within half a percent of the best
    overlap (often a wide plateau), the one whose surface lies closest to the rendered depth is taken.

    Raises:
        Prior3dError: no ray is half opaque: the field is empty.
    """
    greatest = seen.along.amax(-1)
    if not seen.opaque.any():
        raise Prior3dError(
            f"mesh: the field is empty: no ray of {len(greatest)} is half opaque, the greatest density is "
            f"{greatest.max().item():.3g}. Lower the sparsity and entropy weights before, or train longer."
        )
    reached = greatest[greatest > 0]
    candidates = torch.quantile(
        _at_most(reached, 100_000), torch.linspace(0, 0.999, n_candidates, device=reached.device)
    )
    candidates = candidates.unique()
    overlaps = torch.stack([_iou(greatest >= candidate, seen.opaque) for candidate in candidates])
    plateau = candidates[overlaps >= overlaps.max() - PLATEAU]
    errors = torch.stack([_depth_error(seen, candidate) for candidate in plateau])
    return measure_threshold(seen, plateau[errors.argmin()].item())


def measure_threshold(seen: Silhouettes, density: float) -> Threshold:
    """Measure a given threshold."""
    threshold = torch.tensor(density, device=seen.along.device)
    overlap = _iou(seen.along.amax(-1) >= threshold, seen.opaque)
    return Threshold(density, overlap.item(), _depth_error(seen, threshold).item())


def _at_most(values: Float[Tensor, "values"], count: int) -> Float[Tensor, "fewer"]:
    """Evenly chosen values, sorted, `count` at most (torch.quantile refuses very long inputs)."""
    ordered = values.sort().values
    return ordered[:: max(1, -(-len(ordered) // count))]


def _iou(first: Bool[Tensor, "rays"], second: Bool[Tensor, "rays"]) -> Float[Tensor, ""]:
    """Intersection over union of two masks."""
    return (first & second).sum() / (first | second).sum().clamp_min(1)


def _depth_error(seen: Silhouettes, threshold: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Median over rays, opaque in both, of |first distance at which the threshold is reached - rendered depth|."""
    both = seen.opaque & (seen.along.amax(-1) >= threshold)
    if not both.any():
        return torch.tensor(float("inf"), device=seen.along.device)
    dense, distances = seen.along[both] >= threshold, seen.distances[both]
    first = dense.to(torch.uint8).argmax(-1, keepdim=True)
    return (distances.gather(1, first)[:, 0] - seen.depth[both]).abs().median()
