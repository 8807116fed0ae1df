"""What all latent diffusion models of the toy family are trained with: one noise schedule, and the velocity's error."""

from typing import Any

import torch
import torch.nn.functional as functional
from diffusers import DDIMScheduler
from torch import Tensor

from prior3d.diffusion.scheduling import Schedule, diffusion_schedule, stratified_timesteps

N_TIMESTEPS = 1000


def noise_scheduler() -> Any:
    """A DDIMScheduler with Stable Diffusion's noise schedule, for networks that predict v."""
    return DDIMScheduler(
        num_train_timesteps=N_TIMESTEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


def v_schedule(device: torch.device | str) -> Schedule:
    """That noise schedule on a device."""
    return diffusion_schedule(noise_scheduler(), torch.device(device))


def v_loss(
    unet: Any,
    conditioning: tuple[Tensor, Tensor],
    latents: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    *,
    condition: Tensor | None = None,
    timestep_power: float = 1.0,
) -> Tensor:
    """Mean squared error of the predicted velocity v = √ᾱ ε - √(1-ᾱ) x (Salimans and Ho 2022).

    Args:
        unet: called with noisy latents, timesteps, text and camera.
        conditioning: text embeddings [n, tokens, width] and camera embeddings [n, CAMERA_DIM].
        latents: [n, 4, 16, 16].
        schedule: of the noise, for a network that predicts v.
        generator: draws timesteps and noise.
        condition: [n, further channels, 16, 16], input channels after the noisy latents.
        timestep_power: timesteps are T u^timestep_power of uniform u: below 1, strong noise comes more often.
    """
    t = stratified_timesteps(len(latents), N_TIMESTEPS, generator, power=timestep_power)
    noisy, target = noised(latents, schedule, t, generator)
    seen = noisy if condition is None else torch.cat([noisy, condition], dim=1)
    seen = seen.contiguous(memory_format=torch.channels_last)
    text, camera = conditioning
    predicted = unet(seen, t, text, class_labels=camera).sample
    return functional.mse_loss(predicted.float(), target)


def noised(latents: Tensor, schedule: Schedule, t: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Latents [n, c, h, w] with fresh noise of timesteps [n], and what the network should say of them."""
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    return schedule.add_noise(latents, noise, t), schedule.said_of(latents, noise, t)
