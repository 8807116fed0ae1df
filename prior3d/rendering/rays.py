"""Rays of cameras, where they meet a field's domain, and samples along them."""

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.sending import sent


def rays(cameras: Cameras) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width 3"]]:
    """One ray through the centre (+0.5) of every pixel; row 0 is the top of the image.

    Returns:
        origins and unit directions, each [views, height, width, 3], in the world.
    """
    directions = torch.einsum("vhwj,vij->vhwi", local_rays(cameras), cameras.c2w[:, :3, :3])
    origins = cameras.positions[:, None, None].expand_as(directions)
    return origins, functional.normalize(directions, dim=-1)


def local_rays(cameras: Cameras) -> Float[Tensor, "views height width 3"]:
    """The rays in their cameras' own axes [views, height, width, 3]; not of unit length."""
    device = cameras.c2w.device
    x = torch.arange(cameras.width, device=device) + 0.5 - cameras.width / 2
    y = cameras.height / 2 - (torch.arange(cameras.height, device=device) + 0.5)
    size = (cameras.views, cameras.height, cameras.width)
    depth = cameras.focal_pixels[:, None, None].expand(size)
    return torch.stack([x.expand(size), y[:, None].expand(size), -depth], -1)


def near_far(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    bound: float,
    ball_radius: float,
    near_plane: float = 0.0,
) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Where rays enter and leave the box [-bound, bound]^3 cut with the ball round the origin.

    Args:
        origins: [n, 3] world.
        directions: [n, 3] unit.
        bound: half the side of the box.
        ball_radius: radius of the ball, same units.
        near_plane: least distance from the origins, same units.

    Returns:
        near and far, each [n], distances from the origins, not below the near plane; near = far = 0 where a ray misses.
    """
    safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    first, second = (-bound - origins) / safe, (bound - origins) / safe
    near, far = torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)
    closest = -(origins * directions).sum(-1)
    discriminant = closest.square() - origins.square().sum(-1) + ball_radius**2
    half = discriminant.clamp_min(0).sqrt()
    near, far = torch.maximum(near, closest - half).clamp_min(near_plane), torch.minimum(far, closest + half)
    hit = (far > near) & (discriminant > 0)
    return torch.where(hit, near, 0.0), torch.where(hit, far, 0.0)


def sample_distances(
    near: Float[Tensor, "rays"], far: Float[Tensor, "rays"], n_samples: int, generator: torch.Generator | None
) -> tuple[Float[Tensor, "rays samples"], Float[Tensor, "rays samples"]]:
    """Cut each ray into n_samples intervals, equal, or with jittered edges when a generator is given (stratified).

    Returns:
        starts and ends, each [n, n_samples]; consecutive intervals touch and together cover [near, far].
    """
    distances = near[:, None] + (far - near)[:, None] * _edges(near, n_samples, generator)
    return distances[:, :-1], distances[:, 1:]


def occupied_distances(
    near: Float[Tensor, "rays"],
    far: Float[Tensor, "rays"],
    occupied: Callable[[Float[Tensor, "rays bins"]], Bool[Tensor, "rays bins"]],
    n_bins: int,
    n_samples: int,
    generator: torch.Generator | None,
) -> tuple[Float[Tensor, "rays samples"], Float[Tensor, "rays samples"]]:
    """Spread n_samples intervals evenly over the parts of each ray that are occupied; nothing waits for a GPU.

    Args:
        near: [n] distances at which rays begin.
        far: [n] and at which they end.
        occupied: distances [n, n_bins] along the rays to whether something may be there.
        n_bins: parts of [near, far] that are told apart by their middles.
        n_samples: intervals of each ray; their lengths add up to its occupied length.
        generator: jitters them, as in `sample_distances`.

    Returns:
        starts and ends, each [n, n_samples], rising; of length 0 where a ray meets nothing.
    """
    step = (far - near)[:, None] / n_bins
    places = torch.arange(n_bins, device=near.device) + 0.5
    passed = occupied(near[:, None] + step * places).to(near.dtype).cumsum(-1)  # occupied bins up to each one
    edges = _edges(near, n_samples, generator) * passed[:, -1:]
    middles = (edges[:, :-1] + edges[:, 1:]) / 2
    bins = torch.searchsorted(passed, middles, right=True).clamp_max(n_bins - 1)
    within = (middles - (passed.gather(-1, bins) - 1)).clamp(0, 1)
    distances, halves = near[:, None] + step * (bins + within), step * (edges[:, 1:] - edges[:, :-1]) / 2
    return distances - halves, distances + halves


def _edges(
    like: Float[Tensor, "rays"], n_samples: int, generator: torch.Generator | None
) -> Float[Tensor, "rays edges"]:
    """Edges of n_samples intervals of [0, 1], equal, or the inner ones jittered."""
    edges = torch.linspace(0, 1, n_samples + 1, device=like.device).expand(like.shape[0], -1)
    if generator is None:
        return edges
    jitter = torch.rand((like.shape[0], n_samples - 1), generator=generator, device=generator.device) - 0.5
    inner = edges[:, 1:-1] + sent(jitter, like) / n_samples
    return torch.cat([edges[:, :1], inner, edges[:, -1:]], -1)


def project(
    cameras: Cameras, points: Float[Tensor, "points 3"]
) -> tuple[Float[Tensor, "views points 2"], Float[Tensor, "views points"]]:
    """Where points appear in the images; the inverse of `rays`.

    Args:
        cameras: [views].
        points: [n, 3] world.

    Returns:
        pixels [views, n, 2] as (x, y) with the first pixel's centre at 0.5, and distances [views, n] from the camera
        (not along its axis); meaningless for points behind a camera, whose distance is negated.
    """
    relative = points[None] - cameras.positions[:, None]
    local = torch.einsum("vnj,vji->vni", relative, cameras.c2w[:, :3, :3])
    ahead = -local[..., 2]
    scale = cameras.focal_pixels[:, None] / ahead
    x = cameras.width / 2 + local[..., 0] * scale
    y = cameras.height / 2 - local[..., 1] * scale
    return torch.stack([x, y], -1), relative.norm(dim=-1) * ahead.sign()
