"""Render a captured scene's field: empty space is skipped, colours are looked up only where they are seen."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.fields.scene_field import SceneField
from prior3d.fields.trilinear import weighted_rows
from prior3d.rendering.rays import near_far, rays
from prior3d.sending import sent

NEAREST, FARTHEST = 0.1, 60.0  # of a contracted scene, in world units
SEEN_FROM = 1e-4  # weight below which a sample's colour is not looked up


@dataclass(frozen=True)
class SceneRendering:
    """What rays see.

    Attributes:
        colours: [n, 3], over a background if one was given or the scene has a sky, else premultiplied.
        opacity: [n].
        depth: [n] mean distance over the weights, in world units.
        distortion: scalar, mean over rays of the weights' distortion in units of the samples (0: all in one place).
    """

    colours: Float[Tensor, "rays 3"]
    opacity: Float[Tensor, "rays"]
    depth: Float[Tensor, "rays"]
    distortion: Float[Tensor, ""]


def render_scene_rays(
    field: SceneField,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    n_bins: int,
    samples_per_bin: int = 4,
    occupied: Bool[Tensor, "cells"] | None = None,
    generator: torch.Generator | None = None,
    background: Float[Tensor, "#rays 3"] | None = None,
    record_visibility: bool = False,
) -> SceneRendering:
    """Render rays.

    Args:
        field: the scene.
        origins: [n, 3].
        directions: [n, 3] unit.
        n_bins: bins of each ray, which are looked at only if they may hold something.
        samples_per_bin: samples in a bin.
        occupied: [cells] bool, cells that may hold something, widened by a bin; None: all.
        generator: jitters the samples; without one the result is deterministic.
        background: [n, 3] behind a bounded scene; a contracted one has its sky.
        record_visibility: remember in `field.seen` how much each cell was seen.
    """
    found = _samples(field, origins, directions, n_bins, samples_per_bin, occupied, generator)
    ray, distances, seen = found.ray, found.distances, found.seen
    colours = field.seen_colours((found.places[0][seen], found.places[1][seen]), directions[ray[seen]])
    if record_visibility:
        points = origins[ray[seen]] + directions[ray[seen]] * distances[seen][:, None]
        field.seen.scatter_reduce_(0, field.cells(points), found.weights.detach()[seen], "amax")
    values = torch.cat([colours, distances[seen][:, None], torch.ones_like(colours[:, :1])], -1)
    summed = values.new_zeros(len(origins), 5).index_add(0, ray[seen], values * found.weights[seen][:, None])
    opacity = summed[:, 4]
    behind = field.sky_colours(directions) if field.config.contracted else background
    rgb = summed[:, :3] if behind is None else summed[:, :3] + (1 - opacity)[:, None] * behind
    distortion = _distortion(found.before, found.passing)
    return SceneRendering(rgb, opacity, summed[:, 3] / opacity.clamp_min(1e-8), distortion)


@dataclass(frozen=True)
class SceneSamples:
    """Samples on rays, those of skipped bins left out.

    Attributes:
        ray: [samples] of each sample.
        distances: [samples] along it.
        places: what `SceneField.lookup` says of them.
        weights: [samples] in the ray's colour.
        seen: [some] the samples whose weight counts.
        before, passing: [n, all samples of a ray] transmittance before each, optical depth of each.
    """

    ray: Int[Tensor, "samples"]
    distances: Float[Tensor, "samples"]
    places: tuple[Int[Tensor, "samples 8"], Float[Tensor, "samples 8"]]
    weights: Float[Tensor, "samples"]
    seen: Int[Tensor, "some"]
    before: Float[Tensor, "rays samples_of_a_ray"]
    passing: Float[Tensor, "rays samples_of_a_ray"]


def _samples(
    field: SceneField,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    n_bins: int,
    samples_per_bin: int,
    occupied: Bool[Tensor, "cells"] | None,
    generator: torch.Generator | None = None,
) -> SceneSamples:
    """Where rays are looked at, and with which weights."""
    edges = _edges(field, origins, directions, n_bins)
    kept = _kept(field, origins, directions, edges, occupied)
    ray = kept // n_bins
    begins, ends = edges[:, :-1].reshape(-1)[kept], edges[:, 1:].reshape(-1)[kept]
    widths = ((ends - begins) / samples_per_bin)[:, None]
    shift = 0.5 if generator is None else sent(torch.rand((len(kept), 1), generator=generator), widths)
    steps = torch.arange(samples_per_bin, device=widths.device)
    distances = (begins[:, None] + (steps + shift) * widths).reshape(-1)
    widths = widths.expand(-1, samples_per_bin).reshape(-1)
    ray = ray.repeat_interleave(samples_per_bin)
    places = field.lookup(origins[ray] + directions[ray] * distances[:, None])
    stopped = field.densities(places) * widths
    flat = (kept[:, None] * samples_per_bin + steps).reshape(-1)
    shape = (len(origins), n_bins * samples_per_bin)
    passing = torch.zeros(shape, device=stopped.device).view(-1).index_put((flat,), stopped).view(shape)
    before = torch.exp(-(passing.cumsum(-1) - passing))
    weights = (before * (1 - torch.exp(-passing))).view(-1)[flat]
    seen = (weights.detach() > SEEN_FROM).nonzero()[:, 0]
    return SceneSamples(ray, distances, places, weights, seen, before, passing)


@torch.no_grad()
def gather_on_nodes(
    field: SceneField,
    cameras: Cameras,
    maps: Float[Tensor, "views height width channels"],
    n_bins: int,
    occupied: Bool[Tensor, "cells"] | None = None,
    samples_per_bin: int = 4,
    rays_at_once: int = 8192,
) -> tuple[Float[Tensor, "rows channels"], Float[Tensor, "rows"]]:
    """What images show at each node: their values, weighted by how much of the node each pixel sees.

    Args:
        field: the scene.
        cameras: of the images.
        maps: [views, height, width, channels].
        n_bins: as in `render_scene_rays`.
        occupied: as there.
        samples_per_bin: as there.
        rays_at_once: how many are looked at together.

    Returns:
        [rows, channels] weighted means, 0 of nodes that nothing sees; [rows] the sum of the weights.
    """
    origins, directions = (part.reshape(-1, 3) for part in rays(cameras))
    values = maps.reshape(-1, maps.shape[-1])
    sums = values.new_zeros(maps.shape[-1] + 1, len(field.density_logits))
    for chosen in torch.arange(len(origins), device=origins.device).split(rays_at_once):
        found = _samples(field, origins[chosen], directions[chosen], n_bins, samples_per_bin, occupied)
        seen = found.seen
        rows = found.places[0][seen].reshape(-1)
        shares = found.places[1][seen] * found.weights[seen][:, None]
        shown = torch.cat([values[chosen], torch.ones_like(values[chosen][:, :1])], -1)[found.ray[seen]]
        for channel in range(shown.shape[1]):  # far faster on the CPU than scattering rows
            sums[channel].scatter_add_(0, rows, (shares * shown[:, channel, None]).reshape(-1))
    sums[:, 0] = 0
    return (sums[:-1] / sums[-1].clamp_min(1e-8)).T, sums[-1]


@torch.no_grad()
def render_node_values(
    field: SceneField,
    cameras: Cameras,
    values: Float[Tensor, "rows channels"],
    n_bins: int,
    occupied: Bool[Tensor, "cells"] | None = None,
    samples_per_bin: int = 4,
    rays_at_once: int = 8192,
) -> Float[Tensor, "views height width channels"]:
    """[views, height, width, channels] values [rows, channels] of the nodes, seen as colours are, over zeros."""
    origins, directions = rays(cameras)
    leading = origins.shape[:-1]
    pieces = []
    for start, toward in zip(
        origins.reshape(-1, 3).split(rays_at_once), directions.reshape(-1, 3).split(rays_at_once), strict=True
    ):
        found = _samples(field, start, toward, n_bins, samples_per_bin, occupied)
        seen = found.seen
        here = weighted_rows(values, found.places[0][seen], found.places[1][seen]) * found.weights[seen][:, None]
        pieces.append(here.new_zeros(len(start), values.shape[1]).index_add(0, found.ray[seen], here))
    return torch.cat(pieces).view(*leading, values.shape[1])


def render_scene_view(
    field: SceneField,
    cameras: Cameras,
    n_bins: int,
    occupied: Bool[Tensor, "cells"] | None = None,
    background: float | None = None,
    rays_at_once: int = 8192,
) -> tuple[
    Float[Tensor, "views height width 3"], Float[Tensor, "views height width"], Float[Tensor, "views height width"]
]:
    """Whole images without a gradient: [views, height, width, 3], opacity and depth [views, height, width]."""
    origins, directions = rays(cameras)
    leading = origins.shape[:-1]
    pieces = zip(origins.reshape(-1, 3).split(rays_at_once), directions.reshape(-1, 3).split(rays_at_once), strict=True)
    behind = None if background is None else torch.full((1, 3), background, device=origins.device)
    with torch.no_grad():
        found = [
            render_scene_rays(field, start, toward, n_bins, occupied=occupied, background=behind)
            for start, toward in pieces
        ]
    colours = torch.cat([piece.colours for piece in found]).view(*leading, 3)
    opacity = torch.cat([piece.opacity for piece in found]).view(leading)
    return colours, opacity, torch.cat([piece.depth for piece in found]).view(leading)


def occupied_cells(field: SceneField) -> Bool[Tensor, "cells"]:
    """[cells] bool: cells with a kept corner, and their neighbours, so that a bin's middle cannot miss them."""
    n = field.config.resolution
    kept = (field.rows > 0).view(1, 1, n, n, n).float()
    near = torch.nn.functional.max_pool3d(kept, 2, stride=1)
    return torch.nn.functional.max_pool3d(near, 3, stride=1, padding=1).view(-1) > 0


def _edges(
    field: SceneField, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], n_bins: int
) -> Float[Tensor, "rays edges"]:
    """[n, n_bins + 1] rising distances; of a contracted scene spaced as the distance from the origin grows."""
    share = torch.linspace(0, 1, n_bins + 1, device=origins.device)
    if not field.config.contracted:
        near, far = near_far(origins, directions, field.config.bound, field.config.ball_radius)
        return near[:, None] + (far - near)[:, None] * share
    closest = -(origins * directions).sum(-1, keepdim=True)
    scale = (origins + directions * closest).norm(dim=-1, keepdim=True).clamp_min(1.0)
    low, high = torch.asinh((NEAREST - closest) / scale), torch.asinh((FARTHEST - closest) / scale)
    edges: Tensor = closest + scale * torch.sinh(low + (high - low) * share)
    return edges


def _kept(
    field: SceneField,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    edges: Float[Tensor, "rays edges"],
    occupied: Bool[Tensor, "cells"] | None,
) -> Int[Tensor, "kept"]:
    """[kept] flat indices (ray * bins + bin) of the bins that may hold something."""
    lengths = edges[:, 1:] - edges[:, :-1]
    if occupied is None:
        return (lengths > 0).view(-1).nonzero()[:, 0]
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    points = origins[:, None] + directions[:, None] * middles[..., None]
    found = occupied[field.cells(points.view(-1, 3))].view_as(middles)
    return (found & (lengths > 0)).view(-1).nonzero()[:, 0]


def _distortion(before: Float[Tensor, "rays samples"], passing: Float[Tensor, "rays samples"]) -> Float[Tensor, ""]:
    """Mean distortion over rays, distances counted in samples along the ray, as a share of it."""
    weights = before * (1 - torch.exp(-passing))
    places = torch.linspace(0, 1, weights.shape[1], device=weights.device)
    moments = weights * places
    earlier, earlier_moments = weights.cumsum(-1) - weights, moments.cumsum(-1) - moments
    return 2 * (weights * (places * earlier - earlier_moments)).sum(-1).mean()
