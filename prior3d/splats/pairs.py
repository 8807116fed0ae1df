"""Ellipses composited front to back in plain torch, on any device: the reference for every faster way.

Each Gaussian is paired with the pixels of its box. One stable sort by pixel leaves the pairs of each pixel in the order
of their depth; the light that reaches a pair is a running sum over them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.splats.projection import LEAST_ALPHA, LEAST_TRANSMITTANCE, MOST_ALPHA, Projected


def composite_pairs(
    seen: Projected, height: int, width: int
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
    """Colours [height, width, 3] over black, and opacity [height, width]; differentiable to all but depths."""
    splat, pixel, alpha, before, passing = _sorted_pairs(seen, height, width)
    reached = (before + passing).detach().exp() > LEAST_TRANSMITTANCE
    weights = torch.where(reached, before.exp() * alpha, 0.0).to(alpha.dtype)
    values = torch.cat([seen.colours[splat], torch.ones_like(alpha)[:, None]], -1) * weights[:, None]
    summed = values.new_zeros(height * width, 4).index_add(0, pixel, values).view(height, width, 4)
    return summed[..., :3], summed[..., 3]


@torch.no_grad()
def median_depth_pairs(seen: Projected, height: int, width: int) -> Float[Tensor, "height width"]:
    """[height, width] depth of the Gaussian at which less than half of the light is left; 0 where there is none."""
    splat, pixel, _, before, passing = _sorted_pairs(seen, height, width)
    crossing = ((before.exp() >= 0.5) & ((before + passing).exp() < 0.5)).nonzero()[:, 0]
    found = seen.depths.new_zeros(height * width)
    found[pixel[crossing]] = seen.depths[splat[crossing]]
    return found.view(height, width)


def _sorted_pairs(seen: Projected, height: int, width: int) -> tuple[Tensor, ...]:
    """Of the pairs that count, pixel by pixel from front to back: Gaussian, pixel, alpha, and two logarithms: of the
    light that is left before each, and of the share that passes it.
    """
    splat, pixel = pairs(seen, height, width)
    alpha = alphas(seen, splat, pixel, width)
    kept = (alpha.detach() >= LEAST_ALPHA).nonzero()[:, 0]
    splat, pixel, alpha = splat[kept], pixel[kept], alpha[kept].clamp_max(MOST_ALPHA)
    order = torch.argsort(pixel, stable=True)
    splat, pixel, alpha = splat[order], pixel[order], alpha[order]
    passing = torch.log1p(-alpha.double())
    summed = passing.cumsum(0) - passing
    first = torch.searchsorted(pixel, pixel)  # the first pair of the same pixel
    return splat, pixel, alpha, summed - summed[first], passing


@torch.no_grad()
def pairs(seen: Projected, height: int, width: int) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """The Gaussian and the pixel of every pair, nearer Gaussians first: all pixels that a Gaussian may cover."""
    reach = (2 * (seen.opacities / LEAST_ALPHA).clamp_min(1e-30).log().clamp_min(0))[:, None]
    half = (reach * seen.variances).sqrt() + 0.5
    image = torch.tensor([width, height], device=half.device)
    low = (seen.centres - half).floor().clamp_min(0).minimum(image)
    high = (seen.centres + half).ceil().clamp_min(0).minimum(image)
    shown = (seen.opacities >= LEAST_ALPHA)[:, None]
    sides = torch.where(shown, high - low, 0.0).clamp_min(0).long()
    order = torch.argsort(seen.depths, stable=True)
    sides, low = sides[order], low[order].long()
    counts = sides.prod(-1)
    splat = torch.repeat_interleave(torch.arange(len(order), device=order.device), counts)
    within = torch.arange(len(splat), device=order.device) - (counts.cumsum(0) - counts)[splat]
    wide = sides[splat, 0]
    pixel = (low[splat, 1] + within // wide) * width + low[splat, 0] + within % wide
    return order[splat], pixel


def alphas(
    seen: Projected, splat: Int[Tensor, "pairs"], pixel: Int[Tensor, "pairs"], width: int
) -> Float[Tensor, "pairs"]:
    """How much of the light each pair takes, before the cuts."""
    middles = torch.stack([pixel % width, pixel // width], -1) + 0.5
    x, y = (middles - seen.centres[splat]).unbind(-1)
    xx, xy, yy = seen.conics[splat].unbind(-1)
    distance = 0.5 * (xx * x * x + yy * y * y) + xy * x * y
    return seen.opacities[splat] * torch.exp(-distance.clamp_min(0))
