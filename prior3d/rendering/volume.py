"""Differentiable volume rendering of a field (NeRF's quadrature), composited by nerfacc, with a plain reference."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from nerfacc import accumulate_along_rays, render_weight_from_density
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from prior3d.cameras import Cameras
from prior3d.fields.protocol import PlacesSamples, RadianceField
from prior3d.rendering.rays import near_far, occupied_distances, rays, sample_distances

SAMPLES_AT_ONCE = 2**18  # whose values in a field are kept for the backward pass, about 2 kB each


@dataclass(frozen=True)
class Rendering:
    """Pixels and what made them. The leading dimensions `...` are [views, height, width], or [rays] from `render_rays`.

    Attributes:
        features: [..., channels], over the background when one was given, else premultiplied by opacity.
        opacity: [...] in [0, 1].
        depth: [...] mean distance along the ray over its weights, in world units; 0 where the ray met nothing.
        weights: [..., samples], sum to the opacity.
        starts: [..., samples] distance at which each interval begins.
        ends: [..., samples] distance at which it ends.
        density: [..., samples] density at the middle of each interval, in 1 / world unit.
    """

    features: Float[Tensor, "*pixels channels"]
    opacity: Float[Tensor, "*pixels"]
    depth: Float[Tensor, "*pixels"]
    weights: Float[Tensor, "*pixels samples"]
    starts: Float[Tensor, "*pixels samples"]
    ends: Float[Tensor, "*pixels samples"]
    density: Float[Tensor, "*pixels samples"]

    def view(self, *leading: int) -> "Rendering":
        """The same with other leading dimensions, such as [views, height, width] in place of [rays]."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return Rendering(**{name: value.view(*leading, *value.shape[1:]) for name, value in parts.items()})

    def __getitem__(self, part: slice) -> "Rendering":
        """Some of the rays."""
        return Rendering(**{field.name: getattr(self, field.name)[part] for field in fields(self)})


def render(
    field: RadianceField,
    cameras: Cameras,
    n_samples: int,
    generator: torch.Generator | None = None,
    background: Float[Tensor, "#views channels"] | Float[Tensor, "views height width channels"] | None = None,
) -> Rendering:
    """Render all pixels of all cameras; differentiable to the field's parameters.

    Args:
        field: the field.
        cameras: [views].
        n_samples: intervals along each ray.
        generator: jitters the samples (for training); without one the result is deterministic.
        background: [views, channels] or [views, height, width, channels], seen where the opacity is below 1.
    """
    origins, directions = rays(cameras)
    leading = origins.shape[:-1]
    if background is not None and background.ndim == 2:
        background = background[:, None, None]
    if background is not None:
        background = background.expand(*leading, -1).reshape(leading.numel(), -1)
    flat = render_rays(field, origins.reshape(-1, 3), directions.reshape(-1, 3), n_samples, generator, background)
    return Rendering(**{name: value.view(*leading, *value.shape[1:]) for name, value in vars(flat).items()})


def render_rays(
    field: RadianceField,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    n_samples: int,
    generator: torch.Generator | None = None,
    background: Float[Tensor, "#rays channels"] | None = None,
) -> Rendering:
    """Render rays [n, 3] with unit directions [n, 3]; background [n, channels]; else as `render`.

    With a gradient, rays of more than `SAMPLES_AT_ONCE` samples are rendered in parts. What a part holds is computed
    again in the backward pass: the gradients are the same, the work is a third more, and 20 bytes are kept of a sample
    in place of 2,000.
    """
    starts, ends = intervals(field, origins, directions, n_samples, generator)
    at_once = max(SAMPLES_AT_ONCE // starts.shape[1], 1)
    if len(origins) <= at_once or not torch.is_grad_enabled():
        rendered = _render_intervals(field, origins, directions, starts, ends)
    else:
        pieces = zip(*(values.split(at_once) for values in (origins, directions, starts, ends)), strict=True)
        parts = [
            checkpoint(_render_intervals, field, *piece, use_reentrant=False, preserve_rng_state=False)
            for piece in pieces
        ]
        rendered = tuple(torch.cat(values) for values in zip(*parts, strict=True))
    features, opacity, depth, weights, density = rendered
    whole = Rendering(features, opacity, depth, weights, starts, ends, density)
    return whole if background is None else over(whole, background)


def intervals(
    field: RadianceField,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    n_samples: int,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "rays samples"], Float[Tensor, "rays samples"]]:
    """Where rays are sampled: n_samples intervals from end to end, or fewer where the field says that it is not empty.

    Returns:
        starts and ends, each [n, samples].
    """
    bounds = field.config
    near, far = near_far(origins, directions, bounds.bound, bounds.ball_radius, bounds.near_plane)
    if not isinstance(field, PlacesSamples) or not field.samples_placed:
        return sample_distances(near, far, n_samples, generator)

    def occupied(distances: Float[Tensor, "rays bins"]) -> Bool[Tensor, "rays bins"]:
        points = origins[:, None] + directions[:, None] * distances[..., None]
        return field.occupied(points.view(-1, 3)).view(distances.shape)

    with torch.no_grad():
        return occupied_distances(near, far, occupied, field.bins(n_samples), field.samples_placed, generator)


def _render_intervals(
    field: RadianceField,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    starts: Float[Tensor, "rays samples"],
    ends: Float[Tensor, "rays samples"],
) -> tuple[Tensor, ...]:
    """Features, opacity, depth, weights and density of rays without a background, see `Rendering`."""
    points = origins[:, None] + directions[:, None] * ((starts + ends) / 2)[..., None]
    if isinstance(field, PlacesSamples) and field.samples_placed:
        density, features = field.look_up(points.view(-1, 3))
    else:
        density, features = field(points.view(-1, 3))
    density = density.view(-1, starts.shape[1])
    found = composite(starts, ends, density, features.view(*density.shape, -1))
    return found.features, found.opacity, found.depth, found.weights, density


def composite(
    starts: Float[Tensor, "rays samples"],
    ends: Float[Tensor, "rays samples"],
    density: Float[Tensor, "rays samples"],
    features: Float[Tensor, "rays samples channels"],
    background: Float[Tensor, "#rays channels"] | None = None,
) -> Rendering:
    """Composite samples along rays by nerfacc's batched functions (these work on the CPU; its sampling does not).

    Args:
        starts: [n, samples] distances.
        ends: [n, samples].
        density: [n, samples].
        features: [n, samples, channels].
        background: [n, channels] or None.
    """
    weights, _, _ = render_weight_from_density(starts, ends, density)
    values = torch.cat([features, ((starts + ends) / 2)[..., None], torch.ones_like(weights)[..., None]], -1)
    return _finish(weights, accumulate_along_rays(weights, values), starts, ends, density, background)


def composite_reference(
    starts: Float[Tensor, "rays samples"],
    ends: Float[Tensor, "rays samples"],
    density: Float[Tensor, "rays samples"],
    features: Float[Tensor, "rays samples channels"],
    background: Float[Tensor, "#rays channels"] | None = None,
) -> Rendering:
    """`composite` written out: w_i = T_i (1 - exp(-s_i d_i)), T_i = prod_{j<i} exp(-s_j d_j) (NeRF, eq. 3)."""
    passed = torch.exp(-density * (ends - starts))
    before = torch.cumprod(torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], -1), -1)
    weights = before * (1 - passed)
    values = torch.cat([features, ((starts + ends) / 2)[..., None], torch.ones_like(weights)[..., None]], -1)
    return _finish(weights, (weights[..., None] * values).sum(-2), starts, ends, density, background)


def render_without_gradient(
    field: RadianceField,
    cameras: Cameras,
    n_samples: int,
    background: Float[Tensor, "channels"] | None = None,
    rays_at_once: int = 4096,
) -> tuple[
    Float[Tensor, "views height width channels"],
    Float[Tensor, "views height width"],
    Float[Tensor, "views height width"],
]:
    """Render images in pieces that fit the memory.

    Args:
        field: the field.
        cameras: [views].
        n_samples: intervals along each ray.
        background: [channels] or None.
        rays_at_once: how many rays a piece has.

    Returns:
        features [views, height, width, channels], opacity and depth [views, height, width].
    """
    origins, directions = rays(cameras)
    leading = origins.shape[:-1]
    pieces = zip(origins.reshape(-1, 3).split(rays_at_once), directions.reshape(-1, 3).split(rays_at_once), strict=True)
    behind = None if background is None else background[None]
    with torch.no_grad():
        found = [render_rays(field, start, toward, n_samples, background=behind) for start, toward in pieces]
    features = torch.cat([piece.features for piece in found]).view(*leading, -1)
    opacity = torch.cat([piece.opacity for piece in found]).view(leading)
    return features, opacity, torch.cat([piece.depth for piece in found]).view(leading)


def sample_points(cameras: Cameras, rendering: Rendering) -> Float[Tensor, "points 3"]:
    """Where the samples of a rendering of all pixels lie: [views * height * width * samples, 3] world."""
    origins, directions = rays(cameras)
    middles = (rendering.starts + rendering.ends) / 2
    return (origins[..., None, :] + directions[..., None, :] * middles[..., None]).view(-1, 3)


def ray_shares(field: RadianceField, cameras: Cameras, rendering: Rendering) -> Float[Tensor, "points"] | None:
    """Of `sample_points`: how much of its ray's length each stands for, over the number of rays.

    None where samples go from end to end: they all stand for about the same. Means of both kinds then compare.
    """
    if not isinstance(field, PlacesSamples) or not field.samples_placed:
        return None
    origins, directions = (values.reshape(-1, 3) for values in rays(cameras))
    bounds = field.config
    near, far = near_far(origins, directions, bounds.bound, bounds.ball_radius, bounds.near_plane)
    lengths = (rendering.ends - rendering.starts).view(len(near), -1)
    return (lengths / (far - near).clamp_min(1e-6)[:, None] / len(near)).flatten()


def over(rendering: Rendering, background: Float[Tensor, "... channels"]) -> Rendering:
    """Put a rendering that was made without a background over one of shape [..., channels]."""
    return replace(rendering, features=rendering.features + background * (1 - rendering.opacity)[..., None])


def _finish(
    weights: Float[Tensor, "rays samples"],
    summed: Float[Tensor, "rays columns"],
    starts: Float[Tensor, "rays samples"],
    ends: Float[Tensor, "rays samples"],
    density: Float[Tensor, "rays samples"],
    background: Float[Tensor, "#rays channels"] | None,
) -> Rendering:
    """Split the sums into features, depth and opacity, and put the background behind."""
    features, depth, opacity = summed[..., :-2], summed[..., -2], summed[..., -1]
    if background is not None:
        features = features + background * (1 - opacity)[..., None]
    depth = depth / opacity.clamp_min(1e-8)
    return Rendering(features, opacity, depth, weights, starts, ends, density)
