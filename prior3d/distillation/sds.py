"""Score distillation: a frozen prior's prediction about a render, as a loss whose gradient is that prediction.

DreamFusion (Poole et al. 2022, eq. 3): grad = w(t) (eps_hat(z_t; y, t) - eps). It is not the gradient of a useful
scalar, so it is applied as 0.5 |z - stopgrad(z - grad)|^2, divided by the number of elements. The papers *sum* over the
4 x 64 x 64 elements of one view instead, which is 16,384 times more beside the same regularisers: a regulariser's
weight that was tuned beside a summed loss is divided by that number here.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Weighting = Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant"]


def draw_timesteps(
    n_views: int, n_timesteps: int, limits: tuple[float, float], generator: torch.Generator, shared: bool = False
) -> Int[Tensor, " {n_views}"]:
    """Draw timesteps evenly from limits (fractions of n_timesteps, both ends included).

    With `shared`, every view of the batch gets the same one.
    """
    first, last = (min(round(limit * n_timesteps), n_timesteps - 1) for limit in limits)
    drawn = torch.randint(
        first, max(last, first) + 1, (1 if shared else n_views,), generator=generator, device=generator.device
    )
    return drawn.expand(n_views)


def annealed(start: float, end: float, progress: float) -> float:
    """Go linearly from start to end while progress goes from 0 to 1."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)


def sds_weight(alphas: Float[Tensor, "*shape"], weighting: Weighting) -> Float[Tensor, "*shape"]:
    """w(t) of alpha_bar: 1 - a (DreamFusion), sqrt(a) (1 - a) (Latent-NeRF's code), or 1."""
    match weighting:
        case "one_minus_alpha":
            return 1 - alphas
        case "sqrt_alpha_one_minus_alpha":
            return alphas.sqrt() * (1 - alphas)
        case "constant":
            return torch.ones_like(alphas)


def sds_loss(
    latents: Float[Tensor, "views channels h w"],
    noise: Float[Tensor, "views channels h w"],
    predict: Callable[[Float[Tensor, "views channels h w"]], Float[Tensor, "views channels h w"]],
    add_noise: Callable[
        [Float[Tensor, "views channels h w"], Float[Tensor, "views channels h w"]], Float[Tensor, "views channels h w"]
    ],
    alphas: Float[Tensor, " views"],
    weighting: Weighting,
) -> Float[Tensor, ""]:
    """Score distillation of rendered latents: a scalar whose gradient is w(t) (eps_hat - eps) / number of elements.

    Args:
        latents: rendered (or encoded) at the prior's scaled level; the gradient goes here only.
        noise: standard normal.
        predict: the frozen prior's guided noise for noisy latents, at the drawn timesteps.
        add_noise: latents and noise to noisy latents, at the drawn timesteps.
        alphas: alpha_bar of the drawn timesteps.
        weighting: w(t), see `sds_weight`.
    """
    with torch.no_grad():
        predicted = predict(add_noise(latents, noise))
        weights = sds_weight(alphas, weighting).view(-1, 1, 1, 1)
        target = latents - weights * (predicted - noise)
    return 0.5 * torch.mean((latents - target) ** 2)
