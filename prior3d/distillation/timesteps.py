"""Which noise levels a step of score distillation asks about: drawn, or falling over the steps."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.settings.distillation import SdsSettings

# DreamTime's values for a latent prior (m2, m1, s2, s1 of 1,000 timesteps): the flat top lies between 0.5 and 0.8 of T
DREAMTIME_TOP, DREAMTIME_SPREADS = (0.5, 0.8), (0.1, 0.3)


def draw_timesteps(
    n_views: int, n_timesteps: int, limits: tuple[float, float], generator: torch.Generator, shared: bool = False
) -> Int[Tensor, " {n_views}"]:
    """Draw timesteps evenly from limits (fractions of n_timesteps, both ends included).

    With `shared`, every view of the batch gets the same one.
    """
    first, last = ends(n_timesteps, limits)
    drawn = torch.randint(
        first, max(last, first) + 1, (1 if shared else n_views,), generator=generator, device=generator.device
    )
    return drawn.expand(n_views)


def annealed(start: float, end: float, progress: float) -> float:
    """Go linearly from start to end while progress goes from 0 to 1."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)


def ends(n_timesteps: int, limits: tuple[float, float]) -> tuple[int, int]:
    """The lowest and the highest timestep of limits that are fractions of n_timesteps."""
    first, last = (min(round(limit * n_timesteps), n_timesteps - 1) for limit in limits)
    return first, last


def dreamtime_timestep(
    alphas_cumprod: Float[Tensor, "n_timesteps"], limits: tuple[float, float], progress: float
) -> int:
    """The timestep of DreamTime (Huang et al. 2023) at a fraction of the steps.

    It never rises. It stays long where W(t) = sqrt((1 - alpha_bar) / alpha_bar) W_p(t) is large: W_p is 1 on a middle
    range, where content forms, and falls off as a Gaussian on both sides. The share of W above t is the progress.

    Args:
        alphas_cumprod: alpha_bar of all timesteps.
        limits: lowest and highest timestep, fractions of T.
        progress: fraction of the steps done, in [0, 1].
    """
    n = len(alphas_cumprod)
    first, last = ends(n, limits)
    at = torch.arange(first, last + 1, device=alphas_cumprod.device)
    (low, high), (spread_low, spread_high) = DREAMTIME_TOP, DREAMTIME_SPREADS
    outside = torch.where(at / n > high, (at / n - high) / spread_high, (low - at / n).clamp_min(0) / spread_low)
    alphas = alphas_cumprod[at].double()
    weights = ((1 - alphas) / alphas).sqrt() * torch.exp(-(outside.double() ** 2) / 2)
    above = weights.flip(0).cumsum(0).flip(0) / weights.sum()  # of t and all higher ones
    return int(at[(above - progress).abs().argmin()])


def timesteps_of_step(
    n_views: int,
    alphas_cumprod: Float[Tensor, "n_timesteps"],
    settings: SdsSettings,
    progress: float,
    generator: torch.Generator,
    shared: bool,
) -> Int[Tensor, "{n_views}"]:
    """The timesteps of a step, on the generator's device.

    Args:
        n_views: of the step.
        alphas_cumprod: alpha_bar of all timesteps.
        settings: limits and schedule.
        progress: fraction of the steps done.
        generator: draws those that are drawn.
        shared: one for all views; a falling schedule has one anyway.
    """
    n, lowest = len(alphas_cumprod), settings.timestep_min
    match settings.timestep_schedule:
        case "drawn":
            highest = annealed(settings.timestep_max, settings.timestep_max_end, progress)
            return draw_timesteps(n_views, n, (lowest, highest), generator, shared)
        case "linear":
            first, last = ends(n, (lowest, settings.timestep_max))
            found = round(annealed(last, first, progress))
        case "dreamtime":
            found = dreamtime_timestep(alphas_cumprod, (lowest, settings.timestep_max), progress)
    return torch.full((n_views,), found, device=generator.device)
