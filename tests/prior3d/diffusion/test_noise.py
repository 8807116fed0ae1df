"""The forward process against diffusers' schedulers, in the same bits, and by hand."""

import pytest
import torch
from diffusers import DDIMScheduler

from prior3d.diffusion.scheduling import add_noise, noise_from_velocity, velocity

SCHEDULER = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def drawn():
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(4, 4, 8, 8, generator=generator) for _ in range(2))
    timesteps = torch.tensor([0, 20, 500, 999])
    return latents, noise, timesteps, SCHEDULER.alphas_cumprod[timesteps]


def test_noisy_latents_and_velocities_are_those_of_diffusers():
    latents, noise, timesteps, alphas = drawn()
    assert torch.equal(add_noise(latents, noise, alphas), SCHEDULER.add_noise(latents, noise, timesteps))
    assert torch.equal(velocity(latents, noise, alphas), SCHEDULER.get_velocity(latents, noise, timesteps))


def test_a_velocity_gives_the_noise_back():
    latents, noise, _, alphas = drawn()
    found = noise_from_velocity(add_noise(latents, noise, alphas), velocity(latents, noise, alphas), alphas)
    torch.testing.assert_close(found, noise, atol=1e-5, rtol=1e-5)


def test_by_hand():
    """sqrt(0.36) = 0.6 and sqrt(1 - 0.36) = 0.8 of latents 3 and noise -2."""
    latents, noise, alphas = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), -2.0), torch.tensor([0.36])
    assert add_noise(latents, noise, alphas).item() == pytest.approx(0.6 * 3 - 0.8 * 2)
    assert velocity(latents, noise, alphas).item() == pytest.approx(-0.6 * 2 - 0.8 * 3)
    noisy, v = torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), -3.6)
    assert noise_from_velocity(noisy, v, alphas).item() == pytest.approx(-2.0)
