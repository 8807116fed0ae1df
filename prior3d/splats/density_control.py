"""Gaussians moved to where something is to be seen (Kheradmand et al. 2024, 3D Gaussian splatting as MCMC).

A Gaussian that shows nothing takes the place of one that does, and both together look like that one did before. So the
picture hardly changes, and the number of Gaussians is what was asked for.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.sending import sent
from prior3d.splats.model import NAMES, Splats, SplatsConfig

MOST_IN_A_PLACE = 51
NOISE_STEEPNESS, NOISE_FROM = 100.0, 0.995  # opacities above 1 - NOISE_FROM hardly walk


@torch.no_grad()
def relocate(splats: Splats, optimiser: torch.optim.Optimizer, min_opacity: float, generator: torch.Generator) -> int:
    """Move Gaussians of a lower opacity to others, drawn by their opacity; Adam forgets what it knew of both.

    Returns:
        How many were moved.
    """
    opacities = splats.opacities.sigmoid()
    dead = (opacities <= min_opacity).nonzero()[:, 0]
    alive = (opacities > min_opacity).nonzero()[:, 0]
    if not len(dead) or not len(alive):
        return 0
    targets = alive[_drawn(opacities[alive], len(dead), generator)]
    _share(splats, targets)
    for name in NAMES:
        tensor = getattr(splats, name)
        tensor[dead] = tensor[targets]
        for moment in optimiser.state.get(tensor, {}).values():
            if moment.shape == tensor.shape:
                moment[dead], moment[targets] = 0, 0
    return len(dead)


@torch.no_grad()
def grown(splats: Splats, n_splats: int, generator: torch.Generator) -> Splats:
    """The same scene in more Gaussians: the new ones take places of old ones, drawn by their opacity."""
    n = splats.config.n_splats
    targets = _drawn(splats.opacities.sigmoid(), n_splats - n, generator)
    _share(splats, targets)
    config = splats.config
    larger = Splats(SplatsConfig(n_splats, config.sh_degree, config.is_object, config.bound)).to(splats.means.device)
    for name in NAMES:
        tensor = getattr(splats, name)
        getattr(larger, name).copy_(torch.cat([tensor, tensor[targets]]))
    return larger


@torch.no_grad()
def walk(splats: Splats, rate: float, generator: torch.Generator) -> None:
    """A random step of every faint Gaussian, as far as its own extent along each axis, times a rate."""
    faint = 1 - splats.opacities.sigmoid()
    share = torch.sigmoid(NOISE_STEEPNESS * (faint - NOISE_FROM)) * rate
    drawn = sent(torch.randn(splats.means.shape, generator=generator), splats.means.device)
    axes = splats.rotations()
    along = (axes.transpose(1, 2) @ drawn[..., None]) * (2 * splats.scales).exp()[..., None]
    splats.means.add_((axes @ along)[..., 0] * share[:, None])


def _drawn(weights: Float[Tensor, "alive"], n: int, generator: torch.Generator) -> Int[Tensor, "drawn"]:
    """[n] indices, drawn by weights; on the CPU, so that every device draws the same."""
    sums = weights.double().cpu().cumsum(0)
    places = torch.rand(n, generator=generator, dtype=torch.float64) * sums[-1]
    return sent(torch.searchsorted(sums, places, right=True).clamp_max(len(sums) - 1), weights.device)


def _share(splats: Splats, targets: Int[Tensor, "drawn"]) -> None:
    """Let each target look like one of as many as will be in its place (the paper's eq. 9)."""
    n_there = torch.bincount(targets, minlength=len(splats.opacities)).clamp_max(MOST_IN_A_PLACE - 1) + 1
    places = (n_there > 1).nonzero()[:, 0]
    n = n_there[places]
    before = splats.opacities[places].double().sigmoid()
    after = 1 - (1 - before).pow(1 / n)
    total = torch.zeros_like(after)
    for k, weights in enumerate(_weights().to(after).unbind(1)):
        total += weights[n] * after ** (k + 1)
    splats.opacities[places] = torch.logit(after.clamp(0.005, 1 - 1e-7)).to(splats.opacities.dtype)
    splats.scales[places] += (before / total).log()[:, None].to(splats.scales.dtype)


def _weights() -> Float[Tensor, "together powers"]:
    """[n, k] what the power k + 1 of the new opacity weighs where n Gaussians lie together."""
    table = torch.zeros(MOST_IN_A_PLACE + 1, MOST_IN_A_PLACE, dtype=torch.float64)
    for n in range(1, MOST_IN_A_PLACE + 1):
        for k in range(n):
            table[n, k] = math.comb(n, k + 1) * (-1) ** k / math.sqrt(k + 1)
    return table
