"""What every fit of splats does: a learning rate for each kind of tensor, and changes in place between two steps."""

from typing import Any

import torch

from prior3d.seeds import Seeds
from prior3d.settings.splats import SplatDensityControl, SplatRates
from prior3d.splats.density_control import relocate, walk
from prior3d.splats.model import NAMES, Splats


def rate_groups(splats: Splats, rates: SplatRates) -> list[dict[str, Any]]:
    """The parameter groups of an optimiser, each kind of tensor with its learning rate; the centres' is the first."""
    return [{"params": [getattr(splats, name)], "lr": getattr(rates, name)} for name in NAMES]


def control_density(
    splats: Splats,
    optimiser: torch.optim.Optimizer,
    control: SplatDensityControl,
    step: int,
    n_steps: int,
    seeds: Seeds,
) -> None:
    """Change the splats in place before a step: they walk, and from time to time some are moved.

    Args:
        splats: that are optimised.
        optimiser: over `rate_groups`.
        control: when, and how far.
        step: from 0.
        n_steps: of the phase.
        seeds: "places" and "walk" are drawn from.
    """
    if not 0 < step <= control.until * n_steps:
        return
    if step % control.every == 0:
        relocate(splats, optimiser, control.min_opacity, seeds.generator("places"))
    walk(splats, control.noise * optimiser.param_groups[0]["lr"], seeds.generator("walk"))
