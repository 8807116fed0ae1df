"""What makes fog a surface: entropy, distortion, sparsity and smoothness, weighted and ramped up in one place."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.fields import ObjectField
from prior3d.losses.regularisers import distortion, opacity_entropy_bits, opacity_sparsity, ramp, total_variation
from prior3d.rendering import Rendering
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.refresh import SurfaceSettings

N_NEIGHBOURS, NEIGHBOUR_DISTANCE = 8192, 0.04  # points per step, and how far their neighbours are in world units

Neighbours = tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]


def random_neighbours(bound: float, seeds: Seeds, device: torch.device) -> Neighbours:
    """Points spread evenly over the box [-bound, bound]^3 and offsets to their neighbours, from "neighbours"."""
    generator = seeds.generator("neighbours")
    points = (torch.rand((N_NEIGHBOURS, 3), generator=generator) * 2 - 1) * bound
    offsets = functional.normalize(torch.randn((N_NEIGHBOURS, 3), generator=generator), dim=-1)
    return sent(points, device), sent(offsets, device) * NEIGHBOUR_DISTANCE


def surface_terms(
    field: ObjectField,
    rendering: Rendering,
    settings: SurfaceSettings,
    progress: float,
    seeds: Seeds,
    neighbours: Neighbours | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted regularisers of a rendering, by name; those of weight 0 are left out.

    Args:
        field: what was rendered.
        rendering: pixels or rays, without a background.
        settings: weights, and when they rise.
        progress: fraction of the steps done.
        seeds: "neighbours" is drawn if smoothness has a weight and no neighbours are given.
        neighbours: points and offsets of this step, where the caller needs them too.
    """
    strength = ramp(progress, *settings.ramp)
    terms: dict[str, Tensor] = {}
    spread = None
    if settings.distortion_weight > 0:
        spread = distortion(*(part.flatten(0, -2) for part in (rendering.weights, rendering.starts, rendering.ends)))
    terms["entropy"] = strength * settings.entropy_weight * opacity_entropy_bits(rendering.opacity)
    if spread is not None:
        terms["distortion"] = strength * settings.distortion_weight * spread
    terms |= smoothness_term(field, settings.smoothness_weight, seeds, neighbours)
    if settings.sparsity_weight > 0:
        terms["sparsity"] = strength * settings.sparsity_weight * opacity_sparsity(rendering.opacity)
    return terms


def smoothness_term(
    field: ObjectField, weight: float, seeds: Seeds, neighbours: Neighbours | None = None
) -> dict[str, Float[Tensor, ""]]:
    """The weighted total variation of a field, by name; nothing at weight 0."""
    if weight == 0:
        return {}
    if neighbours is None:
        neighbours = random_neighbours(field.config.bound, seeds, next(field.parameters()).device)
    points, offsets = neighbours
    return {"smoothness": weight * total_variation(field, points, offsets, NEIGHBOUR_DISTANCE)}
