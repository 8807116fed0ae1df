"""A threshold that varies in space, so that the surface has the outlines of the images it is seen in.

A foggy field is not equally dense everywhere: at the one threshold that suits most of it, thin or little-seen parts (an
ear, a leaf) are lost and others swell. So the threshold's logarithm gets a smooth change, a sum of coarse grids, found
by a short gradient descent: along a ray that should be opaque something must be denser than the threshold, along a
transparent one nothing may be. Only rays near outlines are looked at, and along each only where it is densest.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.fields.trilinear import corners, sample_grid, weighted_rows
from prior3d.meshes.threshold import Silhouettes
from prior3d.rendering.rays import rays

RESOLUTIONS = (17, 33, 65)  # nodes of the grids that sum up to the change
SOFTNESS = 0.4  # of log(1 + density): how far past the threshold a ray counts as surely opaque, by a sigmoid
STEPS_BETWEEN_LOOKS = 10  # at whether loss and gradient are finite
N_DENSEST = 8  # samples of a ray that can become its surface
REACH = 2  # pixels from an outline that rays are taken from
PULL = 0.2  # towards one threshold everywhere: weight of the change's squares, summed, beside the rays' summed loss


@dataclass(frozen=True)
class SilhouetteTarget:
    """Images whose outlines the surface should have.

    Attributes:
        cameras: [views].
        seen: what their rays meet in the grid; its `opacity` is what is wanted of them.
        weight: of each of their rays.
    """

    cameras: Cameras
    seen: Silhouettes
    weight: float = 1.0


def fit_silhouettes(
    grid: Float[Tensor, "z y x"],
    bound: float,
    threshold: float,
    targets: list[SilhouetteTarget],
    n_steps: int = 80,
    learning_rate: float = 0.15,
) -> Float[Tensor, "z y x"]:
    """Change a density grid so that its surface at a threshold has the outlines of images.

    Args:
        grid: [z, y, x] density over [-bound, bound]^3.
        bound: half the side of its box, in world units.
        threshold: density that is the surface.
        targets: images, marched through this grid.
        n_steps: steps of Adam; 0 leaves the grid as it is.
        learning_rate: of Adam, in units of log(1 + density).

    Returns:
        [z, y, x] density, no gradient (raises Prior3dError where it is not finite).
    """
    found = [_near_outlines(target, threshold) for target in targets]
    points, wanted, weights = (torch.cat(part) for part in zip(*found, strict=True))
    if n_steps == 0 or len(points) == 0:
        return grid
    logarithm = grid.log1p()
    level = torch.tensor(threshold, device=grid.device).log1p()
    places = points.view(-1, 3) / bound
    above = sample_grid(logarithm[..., None], places).view(wanted.shape[0], -1) - level
    tables = [torch.zeros(n**3, 1, device=grid.device, requires_grad=True) for n in RESOLUTIONS]
    nodes = [corners((places + 1) * (0.5 * (n - 1)), n) for n in RESOLUTIONS]
    optimiser = torch.optim.Adam(tables, lr=learning_rate)
    for step in range(n_steps):
        change = torch.stack([weighted_rows(t, *n) for t, n in zip(tables, nodes, strict=True)]).sum(0)
        optimiser.zero_grad()
        _backward(_outline_loss(above + change.view_as(above), wanted, weights, tables), tables, step)
        optimiser.step()
    grids = [t.detach().view(n, n, n) for t, n in zip(_finite(tables), RESOLUTIONS, strict=True)]
    return (logarithm + _resampled(grids, grid.shape[0])).clamp_min(0).expm1()


def _backward(loss: Float[Tensor, ""], tables: list[Float[Tensor, "_ 1"]], step: int) -> None:
    """The loss's gradient; every tenth step looks whether both are finite (raises Prior3dError)."""
    loss.backward()
    if step % STEPS_BETWEEN_LOOKS == 0:
        _finite([loss.detach(), *(table.grad for table in tables if table.grad is not None)])


def _finite(tensors: list[Float[Tensor, "..."]]) -> list[Float[Tensor, "..."]]:
    """The change, or its loss and gradients, if they are finite (raises Prior3dError)."""
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise Prior3dError(
            "silhouettes: the loss between the density and the images' outlines, or its gradient, is not finite; look "
            "whether the field before it is, or set mesh_extraction.outline_steps to 0"
        )
    return tensors


def _outline_loss(
    above: Float[Tensor, "rays densest"],
    wanted: Float[Tensor, "rays"],
    weights: Float[Tensor, "rays"],
    tables: list[Float[Tensor, "_ 1"]],
) -> Float[Tensor, ""]:
    """Cross-entropy between the rays' opacities and those wanted, and the pull towards no change.

    Args:
        above: [rays, densest] by how much log(1 + density) of a ray's points is above the threshold's.
        wanted: [rays] opacity.
        weights: [rays].
        tables: the change, a column of values for each grid.
    """
    greatest = above.amax(-1)
    loss = functional.binary_cross_entropy_with_logits(greatest / SOFTNESS, wanted, weights, reduction="sum")
    pull = torch.stack([table.square().sum() for table in tables]).sum()
    return (loss + PULL * pull) / weights.sum()


def _near_outlines(
    target: SilhouetteTarget, threshold: float
) -> tuple[Float[Tensor, "rays densest 3"], Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Rays near the wanted or the present outline: their densest points [n, k, 3], wanted opacity and weight [n]."""
    cameras, seen = target.cameras, target.seen
    shape = (cameras.views, 1, cameras.height, cameras.width)
    wanted, present = (seen.opacity > 0.5).view(shape), (seen.along.amax(-1) >= threshold).view(shape)
    near = ((wanted != present) | _rim(wanted) | _rim(present)).flatten().nonzero()[:, 0]
    places = seen.along[near].topk(min(N_DENSEST, seen.along.shape[1]), -1).indices
    distances = seen.distances[near].gather(1, places)
    origins, directions = (values.reshape(-1, 3).to(near.device)[near, None] for values in rays(cameras))
    points = origins + directions * distances[..., None]
    # Nothing is held to be quite opaque or quite empty: the surface has to lie between such rays, not far behind them.
    opacity = seen.opacity[near].clamp(0.02, 0.98)
    return points, opacity, torch.full_like(opacity, target.weight)


def _rim(mask: Bool[Tensor, "views 1 height width"]) -> Bool[Tensor, "views 1 height width"]:
    """Pixels of masks [views, 1, h, w] bool with both kinds within `REACH` pixels."""
    size, values = 2 * REACH + 1, mask.float()
    return functional.max_pool2d(values, size, 1, REACH) != -functional.max_pool2d(-values, size, 1, REACH)


def _resampled(grids: list[Float[Tensor, "_ _ _"]], resolution: int) -> Float[Tensor, "z y x"]:
    """Sum of grids [n, n, n] over one box, at another resolution."""
    size = (resolution,) * 3
    finer = [functional.interpolate(g[None, None], size, mode="trilinear", align_corners=True)[0, 0] for g in grids]
    return torch.stack(finer).sum(0)
