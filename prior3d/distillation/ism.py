"""Interval score matching (LucidDreamer, Liang et al. 2023, eqs. 12 to 17): two points of one DDIM inversion.

SDS compares the prior's noise with random noise, so each step pulls a render towards another image, and their mean is
soft. Here the render is led to noise by the prior itself: DDIM is run backwards without a prompt, from the render to
the level s, and one interval on to t. grad = w(t) (eps_hat(z_t; y) - eps(z_s)): what the prompt asks for at t, against
the direction in which the render was just led.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.scheduling import Schedule
from prior3d.distillation.sds import annealed
from prior3d.settings.distillation import IsmLoss

Predict = Callable[
    [Float[Tensor, "views channels h w"], Int[Tensor, " views"]], Float[Tensor, "views channels h w"]
]  # noisy latents and timesteps to noise


def interval(settings: IsmLoss, progress: float) -> float:
    """The distance of the two noise levels, a fraction of T: it goes linearly to its end, and stays there."""
    done = 1.0 if settings.settles_at == 0 else progress / settings.settles_at
    return annealed(settings.interval_start, settings.interval_end, done)


def inversion_timesteps(s: int, step: int) -> list[int]:
    """Timesteps of an inversion from 0 up to s: s last, `step` apart, the first step being shorter."""
    return [0, *range(s - (math.ceil(s / step) - 1) * step, s + 1, step)] if s > 0 else [0]


@torch.no_grad()
def interval_residual(
    latents: Float[Tensor, "views channels h w"],
    timestep: int,
    distance: int,
    step: int,
    schedule: Schedule,
    unprompted: Predict,
    prompted: Predict,
) -> Float[Tensor, "views channels h w"]:
    """eps_hat(z_t; y) - eps(z_s), where z_s and z_t lie on the DDIM inversion of the latents.

    Args:
        latents: rendered.
        timestep: t.
        distance: t - s; s is at least 0.
        step: longest step of the inversion below s.
        schedule: of the prior.
        unprompted: the prior without a prompt.
        prompted: the prior with guidance.
    """
    n = len(latents)

    def at(level: int) -> Int[Tensor, " views"]:
        return torch.full((n,), level, device=latents.device)

    levels, noisy, noise = [*inversion_timesteps(max(timestep - distance, 0), step), timestep], latents, latents
    for level, following in zip(levels, levels[1:], strict=False):
        noise = unprompted(noisy, at(level))
        noisy = schedule.add_noise(schedule.clean_of(noisy, noise, at(level)), noise, at(following))
    return prompted(noisy, at(timestep)) - noise
