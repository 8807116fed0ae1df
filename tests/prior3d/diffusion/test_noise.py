"""The forward process against diffusers' schedulers, in the same bits, and by hand."""

import pytest
import torch
from diffusers import DDIMScheduler

from prior3d.diffusion.scheduling import Schedule, diffusion_schedule, flow_schedule

CPU = torch.device("cpu")


def of_diffusers(target):
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=target, clip_sample=False
    )
    return scheduler, diffusion_schedule(scheduler, CPU)


def drawn():
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(4, 4, 8, 8, generator=generator) for _ in range(2))
    return latents, noise, torch.tensor([0, 20, 500, 999])


def test_noisy_latents_and_velocities_are_those_of_diffusers():
    scheduler, schedule = of_diffusers("v_prediction")
    latents, noise, at = drawn()
    assert torch.equal(schedule.add_noise(latents, noise, at), scheduler.add_noise(latents, noise, at))
    assert torch.equal(schedule.said_of(latents, noise, at), scheduler.get_velocity(latents, noise, at))


def test_shares_of_a_diffusion_model_are_alpha_bar_in_the_same_bits():
    scheduler, schedule = of_diffusers("epsilon")
    at = torch.arange(1000)
    assert torch.equal(schedule.signal_share(at), scheduler.alphas_cumprod)
    assert torch.equal(schedule.noise_share(at), 1 - scheduler.alphas_cumprod)


@pytest.mark.parametrize(
    "schedule", [of_diffusers("epsilon")[1], of_diffusers("v_prediction")[1], flow_schedule(1000, CPU)]
)
def test_what_the_network_says_gives_noise_and_latents_back(schedule):
    latents, noise, at = drawn()
    noisy = schedule.add_noise(latents, noise, at)
    found = schedule.noise_of(noisy, schedule.said_of(latents, noise, at), at)
    torch.testing.assert_close(found, noise, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(schedule.clean_of(noisy, noise, at)[:3], latents[:3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("target", ["epsilon", "v_prediction"])
def test_clean_latents_and_their_noise_are_those_of_a_step_of_diffusers(target):
    scheduler, schedule = of_diffusers(target)
    scheduler.set_timesteps(1000)
    noisy, said, at = drawn()
    for view, t in enumerate(at.tolist()):
        one, output, when = noisy[view : view + 1], said[view : view + 1], at[view : view + 1]
        noise = schedule.noise_of(one, output, when)
        expected = scheduler.step(output, t, one).pred_original_sample
        scale = expected.abs().max().item()
        torch.testing.assert_close(schedule.clean_of(one, noise, when), expected, atol=2e-5 * scale, rtol=0)


def by_hand(target, signal, left):
    return Schedule(torch.tensor([signal]), torch.tensor([left]), target), torch.tensor([0])


def test_a_diffusion_model_by_hand():
    """0.6 and 0.8 of latents 3 and noise -2."""
    schedule, at = by_hand("v_prediction", 0.36, 0.64)
    latents, noise = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), -2.0)
    assert schedule.add_noise(latents, noise, at).item() == pytest.approx(0.6 * 3 - 0.8 * 2)
    assert schedule.said_of(latents, noise, at).item() == pytest.approx(-0.6 * 2 - 0.8 * 3)
    noisy, v = torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), -3.6)
    assert schedule.noise_of(noisy, v, at).item() == pytest.approx(-2.0)


def test_a_flow_by_hand():
    """At t = 0.25: 0.75 of latents 3 and 0.25 of noise -2; it says -2 - 3. Its signal is nine times its noise."""
    schedule, at = by_hand("flow", 0.75**2, 0.25**2)
    latents, noise = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), -2.0)
    noisy = schedule.add_noise(latents, noise, at)
    assert noisy.item() == pytest.approx(1.75)
    assert schedule.said_of(latents, noise, at).item() == pytest.approx(-5)
    assert schedule.noise_of(noisy, torch.full((1, 1, 1, 1), -5.0), at).item() == pytest.approx(-2)
    assert schedule.noise_share(at).item() == pytest.approx(0.1)


def test_the_times_of_a_flow():
    """From 1 / n to 1; a shift of 3 makes 3 t / (1 + 2 t) of t, so 0.75 of 0.5. No signal is left at 1, nearly."""
    even, shifted = flow_schedule(10, CPU), flow_schedule(10, CPU, shift=3.0)
    assert even.sigma(torch.arange(10)).tolist() == pytest.approx([k / 10 for k in range(1, 11)])
    assert even.alpha(torch.arange(9)).tolist() == pytest.approx([1 - k / 10 for k in range(1, 10)])
    assert shifted.sigma(4).item() == pytest.approx(0.75) and shifted.sigma(9).item() == 1
    assert 0 < even.alpha(9).item() < 1e-3
