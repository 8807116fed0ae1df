"""Splats at their start: in what all masks show, on points that are known, or all over the place."""

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.captures.posed import MaskMeaning
from prior3d.captures.whole_images import WholeImages
from prior3d.errors import Prior3dError
from prior3d.rendering.rays import project
from prior3d.splats.model import Splats, SplatsConfig
from prior3d.splats.round import NEIGHBOURS, gaps, splats_at

MOST_ROUNDS = 64
PLACE_RADIUS = 8.0  # world units; how far from the origin Gaussians of a place begin


def start_splats(config: SplatsConfig, images: WholeImages, meaning: MaskMeaning, generator: torch.Generator) -> Splats:
    """Splats before the first step: inside all masks of an object, or all over a place; of the images' mean colours.

    Args:
        config: what they are.
        images: that they will be fitted to.
        meaning: of the images' masks.
        generator: on the CPU.
    """
    shown = [images[place] for place in range(len(images))]
    colours, masks = torch.stack([image for _, image, _ in shown]), torch.stack([mask for _, _, mask in shown])
    if config.is_object and meaning == "object":
        points = points_in_masks(images.cameras, masks, config.n_splats, generator, config.bound)
    elif config.is_object:
        points = (2 * torch.rand(config.n_splats, 3, generator=generator) - 1) * config.bound
    else:
        points = points_of_a_place(config.n_splats, generator)
    count, total = seen_values(images.cameras, colours, points)
    mean = torch.where(count[:, None] > 0, total / count.clamp_min(1)[:, None], 0.5)
    return splats_at(points, mean.clamp(0.02, 0.98), config)


def splats_from_points(
    config: SplatsConfig,
    points: Float[Tensor, "points 3"],
    colours: Float[Tensor, "points 3"],
    generator: torch.Generator,
) -> Splats:
    """Splats before the first step, on points of surfaces: chosen at random where there are more than Gaussians.

    Where there are fewer, further ones begin near them, as far off as the points' neighbours are.

    Args:
        config: what they are; of an object those points are left out that lie outside the box.
        points: [n, 3] in the world.
        colours: [n, 3] in [0, 1].
        generator: on the CPU.

    Raises:
        Prior3dError: too few points to tell a size by.
    """
    if config.is_object:
        inside = (points.abs() <= config.bound).all(-1)
        points, colours = points[inside], colours[inside]
    if len(points) <= NEIGHBOURS:
        raise Prior3dError(
            f"splats: {len(points)} points to begin on, which are too few; set scene_fit.splats.start=random"
        )
    if len(points) >= config.n_splats:
        chosen = torch.randperm(len(points), generator=generator)[: config.n_splats]
        return splats_at(points[chosen], colours[chosen].clamp(0.02, 0.98), config)
    again = torch.randint(len(points), (config.n_splats - len(points),), generator=generator)
    shift = torch.randn((len(again), 3), generator=generator) * gaps(points)[again, None]
    whole = torch.cat([points, points[again] + shift]), torch.cat([colours, colours[again]]).clamp(0.02, 0.98)
    return splats_at(*whole, config)


def points_in_masks(
    cameras: Cameras, masks: Float[Tensor, "views height width"], n_points: int, generator: torch.Generator,
    bound: float = 1.0, inside: float = 0.98,
) -> Float[Tensor, "points 3"]:  # fmt: skip
    """[n, 3] random points of the box that lie inside the masks of nearly all the images that show them.

    Args:
        cameras: [views].
        masks: [views, height, width] in [0, 1].
        n_points: how many.
        generator: on the CPU.
        bound: half the side of the box.
        inside: the share of the images that show a point that must have it in the mask.

    Raises:
        Prior3dError: there is no such place.
    """
    found: list[Tensor] = []
    count = 0
    for _ in range(MOST_ROUNDS):
        points = (2 * torch.rand(4 * n_points, 3, generator=generator) - 1) * bound
        shown, covered = seen_values(cameras, masks[..., None], points)
        good = (shown > 0) & (covered[:, 0] >= inside * shown)
        found.append(points[good])
        count += len(found[-1])
        if count >= n_points:
            return torch.cat(found)[:n_points]
    if not count:
        raise Prior3dError(
            "splats: no place is inside the masks of all images; check the capture's cameras and masks, or set "
            "scene_fit.extent=unbounded"
        )
    some = torch.cat(found)
    again = some[torch.randint(len(some), (n_points - len(some),), generator=generator)]
    return torch.cat([some, again + 1e-3 * torch.randn(again.shape, generator=generator)])


def points_of_a_place(n_points: int, generator: torch.Generator) -> Float[Tensor, "points 3"]:
    """[n, 3] random points, evenly in contracted space out to `PLACE_RADIUS`."""
    edge = 2 - 1 / PLACE_RADIUS
    inside = (2 * torch.rand(n_points, 3, generator=generator) - 1) * edge
    norm = inside.abs().amax(-1, keepdim=True).clamp_min(1e-6)
    return torch.where(norm > 1, inside / norm / (2 - norm), inside)


def seen_values(
    cameras: Cameras, images: Float[Tensor, "views height width channels"], points: Float[Tensor, "points 3"]
) -> tuple[Float[Tensor, "points"], Float[Tensor, "points channels"]]:
    """How many images show each point, and the sum of what they show there (hidden or not): [n], [n, channels]."""
    height, width = cameras.height, cameras.width
    count, total = torch.zeros(len(points)), torch.zeros(len(points), images.shape[-1])
    for view in range(cameras.views):
        pixels, depth = project(cameras[view], points)
        column, row = pixels[0].floor().long().unbind(-1)
        shown = (depth[0] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        values = images[view][row.clamp(0, height - 1), column.clamp(0, width - 1)]
        count += shown
        total += torch.where(shown[:, None], values, 0.0)
    return count, total
