"""Splats of another program put into the box that meshes are made in."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.splats.model import Splats, SplatsConfig

FAINT = 0.05  # Gaussians of a lower opacity do not say where the thing is
FILLED = 0.95  # of the box, by what is put into it


def share_inside(splats: Splats, bound: float) -> float:
    """The share of the Gaussians that are not faint whose centres lie in the box of this half side."""
    return float((_solid(splats).abs() <= bound).all(-1).float().mean())


@torch.no_grad()
def into_box(splats: Splats, bound: float, inside: float) -> tuple[Splats, float]:
    """A copy that is moved and scaled so that the box holds its middle.

    Args:
        splats: in our axes, of any size and at any place.
        bound: half the side of the box, in world units.
        inside: share of the Gaussians that are not faint that the box shall hold along each axis; the outermost on
            both sides are left out.

    Returns:
        The copy, and how many times as large it is as before.
    """
    solid = _solid(splats).double()
    ends = torch.tensor([(1 - inside) / 2, (1 + inside) / 2], dtype=torch.float64) * (len(solid) - 1)
    low, high = (solid.sort(0).values[round(float(place))] for place in ends)
    factor = FILLED * bound / max(float((high - low).max()) / 2, 1e-12)
    made = with_bound(splats, bound)
    made.means.copy_((splats.means.double() - (low + high) / 2) * factor)
    made.scales.add_(math.log(factor))
    return made, factor


@torch.no_grad()
def with_bound(splats: Splats, bound: float, is_object: bool | None = None) -> Splats:
    """A copy that belongs to the box of this half side, and is an object or a place as before unless it is said."""
    config = splats.config
    chosen = config.is_object if is_object is None else is_object
    made = Splats(SplatsConfig(config.n_splats, config.sh_degree, chosen, bound))
    made.load_state_dict(splats.state_dict())
    return made.requires_grad_(False)


@torch.no_grad()
def _solid(splats: Splats) -> Float[Tensor, "solid 3"]:
    """Centres of the Gaussians that are not faint, of all where all are."""
    shown = splats.opacities.sigmoid() >= FAINT
    return splats.means[shown] if bool(shown.any()) else splats.means.detach()
