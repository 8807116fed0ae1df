"""The forward process of a diffusion model and the two things that a network may predict of it.

A network says the noise (Ho et al. 2020) or the velocity (Salimans and Ho 2022). The schedulers of diffusers have the
first two functions as methods. They stay here because a training knows only alpha_bar, and because no scheduler has
the third one; the tests hold them to the schedulers' numbers.
"""

from torch import Tensor


def add_noise(latents: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """Diffuse latents forward: sqrt(alpha_bar) z + sqrt(1 - alpha_bar) noise; alphas [views] are alpha_bar."""
    alphas = _per_view(alphas)
    return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise


def velocity(latents: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """What a v-prediction is trained on: sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) z; alphas [views]."""
    alphas = _per_view(alphas)
    return alphas.sqrt() * noise - (1 - alphas).sqrt() * latents


def noise_from_velocity(noisy: Tensor, velocity: Tensor, alphas: Tensor) -> Tensor:
    """The noise that a velocity implies: sqrt(alpha_bar) v + sqrt(1 - alpha_bar) z_t; alphas [views]."""
    alphas = _per_view(alphas)
    return alphas.sqrt() * velocity + (1 - alphas).sqrt() * noisy


def _per_view(alphas: Tensor) -> Tensor:
    """Shape alphas [views] so that they multiply latents: [views, 1, 1, 1]."""
    return alphas.view(-1, 1, 1, 1)
