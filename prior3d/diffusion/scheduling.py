"""What diffusers calls a scheduler, as functions: noise put on and taken off, and the timesteps of both.

`add_noise` and `velocity` are methods of diffusers' schedulers too. They stay here because a training knows only
alpha_bar, and because no scheduler has `noise_from_velocity`. There is one sampler, deterministic DDIM, written out.
The tests hold all of it to diffusers' DDIMScheduler.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.errors import Prior3dError


def add_noise(
    latents: Float[Tensor, "views channels h w"],
    noise: Float[Tensor, "views channels h w"],
    alphas: Float[Tensor, "views"],
) -> Float[Tensor, "views channels h w"]:
    """Diffuse latents forward: sqrt(alpha_bar) z + sqrt(1 - alpha_bar) noise; alphas are alpha_bar."""
    alphas = _per_view(alphas)
    return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise


def velocity(
    latents: Float[Tensor, "views channels h w"],
    noise: Float[Tensor, "views channels h w"],
    alphas: Float[Tensor, "views"],
) -> Float[Tensor, "views channels h w"]:
    """What a v-prediction is trained on: sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) z; alphas are alpha_bar."""
    alphas = _per_view(alphas)
    return alphas.sqrt() * noise - (1 - alphas).sqrt() * latents


def noise_from_velocity(
    noisy: Float[Tensor, "views channels h w"],
    velocity: Float[Tensor, "views channels h w"],
    alphas: Float[Tensor, "views"],
) -> Float[Tensor, "views channels h w"]:
    """The noise that a velocity implies: sqrt(alpha_bar) v + sqrt(1 - alpha_bar) z_t; alphas are alpha_bar."""
    alphas = _per_view(alphas)
    return alphas.sqrt() * velocity + (1 - alphas).sqrt() * noisy


def descending_timesteps(first: int, num_inference_steps: int) -> list[int]:
    """Evenly spaced timesteps from `first` down, without 0: diffusers' "trailing" spacing from any timestep.

    A prior's noise at timestep 0 is negligible, so the last step goes to clean latents from `first / steps`.

    Raises:
        Prior3dError: so many steps do not fit.
    """
    n = num_inference_steps
    if not 1 <= n <= first:
        raise Prior3dError(f"sampling: {n} steps do not fit below timestep {first}; use between 1 and {first}")
    return [round(first * (n - step) / n) for step in range(n)]


def instruct_timesteps(highest: int, num_inference_steps: int) -> list[int]:
    """The timesteps of Instruct-NeRF2NeRF (Haque et al. 2023) for a drawn T.

    The authors set a DDIM scheduler's number of training timesteps to T and ask it for n steps. With leading spacing
    and an offset of one this gives k floor(T / n) + 1: for T = 980 and 20 steps the first one is 932.

    Args:
        highest: T, between `num_inference_steps` and the prior's number of timesteps.
        num_inference_steps: n.

    Raises:
        Prior3dError: so many steps do not fit.
    """
    n = num_inference_steps
    if not 1 <= n <= highest:
        raise Prior3dError(f"edit: {n} inference steps do not fit below timestep {highest}; take fewer steps")
    return [step * (highest // n) + 1 for step in reversed(range(n))]


def timestep_of_strength(strength: float, n_timesteps: int) -> int:
    """The timestep at which SDEdit (Meng et al. 2022) starts, for a strength in [0, 1]: 1 to n_timesteps - 1."""
    return min(max(round(strength * n_timesteps), 1), n_timesteps - 1)


def stratified_timesteps(
    n: int, n_timesteps: int, generator: torch.Generator, *, shuffled: bool = False, power: float = 1.0
) -> Int[Tensor, "{n}"]:
    """Draw n timesteps, one from each of n equal strata: the expectation of independent draws with less variance.

    Args:
        n: how many.
        n_timesteps: they are T u^power of uniform u, rounded down.
        generator: they are drawn from it, on its device.
        shuffled: in random order; otherwise they ascend.
        power: below 1, strong noise comes more often.
    """
    device = generator.device
    strata = torch.randperm(n, generator=generator, device=device) if shuffled else torch.arange(n, device=device)
    fraction = ((strata + torch.rand(n, generator=generator, device=device)) / n) ** power
    return (fraction * n_timesteps).long().clamp(max=n_timesteps - 1)


def ddim(
    noisy: Float[Tensor, "views channels h w"],
    timesteps: list[int],
    alphas_cumprod: Float[Tensor, "n_timesteps"],
    predict: Callable[[Float[Tensor, "views channels h w"], Int[Tensor, "views"]], Float[Tensor, "views channels h w"]],
) -> Float[Tensor, "views channels h w"]:
    """Take noisy latents to clean ones (Song et al. 2021, eq. 12 with sigma 0).

    Args:
        noisy: at the noise level of `timesteps[0]`.
        timesteps: descending; the last prediction is of the clean latents.
        alphas_cumprod: alpha_bar of each timestep.
        predict: latents and timesteps to noise.

    Raises:
        Prior3dError: there is no timestep.
    """
    latents = noisy
    for step, timestep in enumerate(timesteps):
        noise = predict(latents, torch.full((len(latents),), timestep, device=latents.device))
        alpha = alphas_cumprod[timestep]
        clean = (latents - (1 - alpha).sqrt() * noise) / alpha.sqrt()
        if step + 1 == len(timesteps):
            return clean
        next_alpha = alphas_cumprod[timesteps[step + 1]]
        latents = next_alpha.sqrt() * clean + (1 - next_alpha).sqrt() * noise
    raise Prior3dError("denoise: the list of timesteps is empty; give at least one")


def _per_view(alphas: Float[Tensor, "views"]) -> Float[Tensor, "views 1 1 1"]:
    """Shape alphas so that they multiply latents."""
    return alphas.view(-1, 1, 1, 1)
