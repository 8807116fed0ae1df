"""Deterministic DDIM, the one sampler of all priors, written out; the tests hold it to diffusers' DDIMScheduler."""

from collections.abc import Callable

import torch
from torch import Tensor

from prior3d.errors import Prior3dError


def ddim(
    noisy: Tensor, timesteps: list[int], alphas_cumprod: Tensor, predict: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Take noisy latents to clean ones (Song et al. 2021, eq. 12 with sigma 0).

    Args:
        noisy: [views, channels, h, w], at the noise level of `timesteps[0]`.
        timesteps: descending; the last prediction is of the clean latents.
        alphas_cumprod: [n_timesteps].
        predict: latents and timesteps [views] to noise.

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
