"""Regularisers of radiance fields: each a mean over rays, samples or points, in its own unit, without a weight."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def opacity_entropy_bits(opacity: Float[Tensor, "..."], margin: float = 1e-5) -> Float[Tensor, ""]:
    """Mean binary entropy of ray opacities: 0 bits for empty or solid rays, 1 at half (Latent-NeRF's sparsity).

    Args:
        opacity: any shape, in [0, 1].
        margin: opacities are clamped to [margin, 1 - margin], so that the gradient is finite (0 beyond).
    """
    p = opacity.clamp(margin, 1 - margin)
    return -(p * p.log2() + (1 - p) * (1 - p).log2()).mean()


def opacity_sparsity(opacity: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Mean of sqrt(opacity^2 + 0.01): presses empty space empty, without a spike at 0 (DreamFusion)."""
    return (opacity**2 + 0.01).sqrt().mean()


def distortion(
    weights: Float[Tensor, "*rays samples"],
    starts: Float[Tensor, "*rays samples"],
    ends: Float[Tensor, "*rays samples"],
) -> Float[Tensor, ""]:
    """Mean distortion of rays (Barron et al. 2022, mip-NeRF 360, eq. 15): weight spread along a ray.

    Args:
        weights: [..., samples] rendering weights.
        starts: [..., samples] where the samples' intervals begin, rising, in world units.
        ends: [..., samples] where they end.

    Returns:
        A scalar in world units, in linear time: sum over pairs w_i w_j |m_i - m_j| + sum over i w_i^2 d_i / 3.
    """
    middles, widths = (starts + ends) / 2, ends - starts
    moments = weights * middles
    weight_before, moment_before = weights.cumsum(-1) - weights, moments.cumsum(-1) - moments
    between = 2 * (weights * (middles * weight_before - moment_before)).sum(-1)
    within = (weights**2 * widths).sum(-1) / 3
    return (between + within).mean()


def orientation(
    visibility: Float[Tensor, "*samples"], normals: Float[Tensor, "*samples 3"], directions: Float[Tensor, "*samples 3"]
) -> Float[Tensor, ""]:
    """Mean of visibility times max(0, n . d)^2: visible normals face the camera (Verbin et al. 2022, eq. 11).

    Args:
        visibility: [...] rendering weights or opacities of samples; no gradient passes through them.
        normals: [..., 3] unit, outward.
        directions: [..., 3] unit, from the camera.
    """
    facing_away = (normals * directions).sum(-1).clamp(min=0)
    return (visibility.detach() * facing_away**2).mean()


def normal_smoothness(
    normals: Float[Tensor, "views height width 3"], blur_sigma_pixels: float = 1.7
) -> Float[Tensor, ""]:
    """Mean squared difference of normal images to their own blur, which takes no gradient (RealFusion).

    Args:
        normals: [views, h, w, 3] composited normals.
        blur_sigma_pixels: of a 9 x 9 Gaussian.
    """
    offsets = torch.arange(-4, 5, dtype=normals.dtype, device=normals.device)
    kernel = torch.exp(-(offsets**2) / (2 * blur_sigma_pixels**2))
    kernel = kernel / kernel.sum()
    images = normals.movedim(-1, 1)
    blurred = torch.nn.functional.pad(images.detach(), (4, 4, 4, 4), mode="replicate").flatten(0, 1).unsqueeze(1)
    blurred = torch.nn.functional.conv2d(blurred, kernel.view(1, 1, 1, 9))
    blurred = torch.nn.functional.conv2d(blurred, kernel.view(1, 1, 9, 1))
    return ((images - blurred.view_as(images)) ** 2).mean()


def total_variation(
    field: Callable[[Float[Tensor, "n 3"]], tuple[Float[Tensor, "n"], Float[Tensor, "n channels"]]],
    points: Float[Tensor, "points 3"],
    offsets: Float[Tensor, "points 3"],
    thickness: float,
) -> Float[Tensor, ""]:
    """Mean change of a field's opacity, and of its values where it is opaque, from points to points nearby.

    Of the opacity it is the area of the surface: small holes, bumps and floaters cost more than what they hide.

    Args:
        field: points [n, 3] to density [n] and values [n, channels].
        points: [n, 3] spread evenly over the volume.
        offsets: [n, 3] to the neighbours, in world units.
        thickness: of the layer whose opacity 1 - exp(-density * thickness) is meant, in world units.
    """
    density, values = field(torch.cat([points, points + offsets]))
    here, there = (1 - torch.exp(-density * thickness)).chunk(2)
    change = (values[: len(points)] - values[len(points) :]).abs().mean(-1)
    return ((here - there).abs() + 0.5 * (here + there).detach() * change).mean()


def ramp(progress: float, start: float, end: float = 1.0) -> float:
    """Rise smoothly (half a cosine) from 0 to 1 while progress goes from start to end; a step if they are equal."""
    if end <= start:
        return float(progress >= end)
    fraction = min(max((progress - start) / (end - start), 0.0), 1.0)
    return (1 - math.cos(math.pi * fraction)) / 2
