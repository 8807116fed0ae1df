"""A field's start from the outlines of many views: dense where almost all of them see the object, coloured by them.

The visual hull (Laurentini 1994) is what lies inside of all outlines. Views that a prior drew do not quite agree, so a
node counts by the share of the views in whose outline it lies. Its colour is the mean of the views that face it.
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.fields import ObjectField
from prior3d.fields.grids import DenseEncoding
from prior3d.reconstruction.input_views import InputViews
from prior3d.rendering.seen import seen_at

EDGE = 0.85  # the share of the views, of that of the node that most see, at which density is 1
SLOPE = 20.0  # of the density's logarithm over the share
EMPTIEST, DENSEST = -5.0, 3.0  # the density's logarithm
LEAST_FACING = 0.02  # so that a node that no view faces takes the mean of all
DARKEST = 0.02  # of a colour, and as far from white: its logit stays finite


@torch.no_grad()
def begin_at_hull(field: ObjectField, views: InputViews) -> None:
    """Write the soft hull of views into the finest grid of a field in colour.

    Args:
        field: of dense grids whose values are density and colour; coarser grids stay as they are.
        views: with masks; of a view's weights the highest counts.

    Raises:
        Prior3dError: the field is of another kind, or the views have no masks.
    """
    config, encoding = field.config, field.encoding
    if not isinstance(encoding, DenseEncoding) or config.hidden or config.head != "rgb" or views.masks is None:
        raise Prior3dError("visual hull: it needs a field of dense grids in colour without a network, and masks")
    n, device = encoding.finest, views.colours.device
    axis = torch.linspace(-config.bound, config.bound, n, device=device)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], -1).view(-1, 3)
    share = inside_share(views, points)
    density = (SLOPE * (share / share.max().clamp_min(1e-6) - EDGE)).clamp(EMPTIEST, DENSEST)
    colours = facing_colours(views, points, outward(share.view(n, n, n)))
    there = field.raw_density(points)  # by bias, blob and all grids; 0 outside of the field's ball
    own = torch.where(there > 0, there, 1.0).log()
    finest = next(grid for grid in encoding.grids if len(grid) == n)
    finest[..., 0] += (density - own).view(n, n, n)
    finest[..., 1:] += torch.logit(colours.clamp(DARKEST, 1 - DARKEST)).view(n, n, n, 3)


def inside_share(views: InputViews, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """In which share of the views' weights, in [0, 1], points lie in the outline; outside of an image they do not."""
    weights = view_weights(views)
    total = points.new_zeros(len(points))
    for view, weight in enumerate(weights.tolist()):
        total += weight * sampled(views, view, points)[3]
    found: Tensor = total / weights.sum().clamp_min(1e-6)
    return found


def outward(share: Float[Tensor, "z y x"]) -> Float[Tensor, "points 3"]:
    """Unit directions in which the share falls: out of the object; 0 where it is even."""
    slopes = torch.stack(torch.gradient(share), -1).flip(-1).view(-1, 3)
    return -functional.normalize(slopes, dim=-1, eps=1e-6)


def facing_colours(
    views: InputViews, points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]
) -> Float[Tensor, "points 3"]:
    """Mean colours of what views show at points, by how much they face the normals and by their weights."""
    colours, count = points.new_zeros(len(points), 3), points.new_full((len(points),), 1e-6)
    for view, weight in enumerate(view_weights(views).tolist()):
        seen = sampled(views, view, points)
        towards = functional.normalize(views.cameras.positions[view] - points, dim=-1)
        facing = weight * (towards * normals).sum(-1).clamp_min(LEAST_FACING).square()
        colours += (facing * seen[:3]).T  # premultiplied, so the mask is in it
        count += facing * seen[3]
    return colours / count[:, None]


def view_weights(views: InputViews) -> Float[Tensor, "views"]:
    """How much each view weighs: the highest weight of its pixels."""
    return views.weights.flatten(1).amax(1)


def sampled(views: InputViews, view: int, points: Float[Tensor, "points 3"]) -> Float[Tensor, "4 points"]:
    """Premultiplied colour and mask of one view where points appear in it, [4, points]; 0 outside and behind it."""
    assert views.masks is not None
    layers = torch.cat([views.colours[view], views.masks[view][None]])
    return seen_at(layers, views.cameras[view], points)
