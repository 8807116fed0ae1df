"""A flow matching prior where the score is known: sampling and score distillation are right without further code."""

import pytest
import torch

from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.scheduling import Schedule, ddim, descending_timesteps, flow_schedule
from prior3d.distillation.sds import ScoreDistillation
from prior3d.seeds import Seeds
from prior3d.settings.distillation import SdsSettings
from tests.gaussian_world import CPU, GaussianViews, gaussian_prior, text

MEAN, SPREAD, N = 1.5, 0.4, 4000


@pytest.fixture(scope="module", params=[1.0, 3.0])
def prior(request):
    """Latents are N(MEAN, SPREAD^2); the network says E[eps - z | z_t]."""
    return gaussian_prior(flow_schedule(1000, CPU, shift=request.param))


def asked(scale=1.0):
    return Conditioning(text(MEAN, SPREAD), text(MEAN, SPREAD), scale)


def test_the_network_says_velocities(prior):
    """At t = 1 the noisy latents are the noise, of which the latents are independent: it says eps - MEAN."""
    noise = torch.randn(5, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    said = prior.diffusion.network(noise, torch.full((5,), 999), text(MEAN, SPREAD).expand(5, -1, -1))
    torch.testing.assert_close(said, noise - MEAN, atol=1e-3, rtol=0)


def test_samples_follow_the_law(prior):
    """The way of a sample is known too: its distance to alpha_t MEAN stays in proportion to the spread of z_t."""
    start = torch.randn(N, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    found = prior.denoise(start, descending_timesteps(999, 500), asked())
    torch.testing.assert_close(found, MEAN + SPREAD * start, atol=0.02, rtol=0)
    assert found.mean().item() == pytest.approx(MEAN, abs=0.03) and found.std().item() == pytest.approx(0.4, abs=0.02)


def test_a_step_of_ddim_is_a_step_of_euler():
    """Down a straight line at the velocity: z_t' = z_t + (t' - t) u."""
    schedule, u = flow_schedule(1000, CPU), torch.tensor([[[[0.7]]], [[[-2.0]]]])
    noisy = torch.tensor([[[[0.3]]], [[[1.1]]]])
    found = ddim(noisy, [799, 299], schedule, lambda seen, at: schedule.noise_of(seen, u, at))
    torch.testing.assert_close(found, noisy - 0.8 * u, atol=1e-5, rtol=1e-5)


def distil(prior, latents, **settings):
    """A step of score distillation of N views of one number at one noise level, t = 0.4 of the even times."""
    views = GaussianViews(prior, N, (MEAN, SPREAD), (MEAN, SPREAD), 1.0)
    at = SdsSettings(timestep_schedule="linear", timestep_min=0.399, timestep_max=0.399, timestep_max_end=0.399)
    at = SdsSettings(**{name: getattr(at, name) for name in at.__dataclass_fields__} | settings)
    return ScoreDistillation(views, Seeds(0), at, "latent")(lambda cameras, batch: latents, 0.0)


@pytest.mark.parametrize("z", [-1.0, 1.5, 2.0])
def test_the_gradient_of_sds_is_the_score(prior, z):
    """E[eps_hat - eps] = sigma alpha (z - MEAN) / (alpha^2 SPREAD^2 + sigma^2), times w(t), over the elements."""
    latents = torch.full((N, 1, 1, 1), z, requires_grad=True)
    distil(prior, latents).loss.backward()
    alpha, sigma = (float(part(399)) for part in (prior.schedule.alpha, prior.schedule.sigma))
    weight = sigma**2 / (alpha**2 + sigma**2)
    expected = weight * sigma * alpha * (z - MEAN) / (alpha**2 * SPREAD**2 + sigma**2)
    assert latents.grad.sum().item() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("weighting", ["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant", "noise_to_signal"])
def test_a_flow_is_distilled_as_the_diffusion_model_of_its_signal_to_noise_ratio(prior, weighting):
    """z_t of the one is z_t of the other, times a number, so with the same noise all gradients are the same."""
    at = torch.arange(1000)
    twin = gaussian_prior(Schedule(prior.schedule.signal_share(at), prior.schedule.noise_share(at), "epsilon"))
    latents = torch.randn(N, 1, 1, 1, generator=torch.Generator().manual_seed(3))
    flow, diffusion = (distil(one, latents, weighting=weighting).target for one in (prior, twin))
    torch.testing.assert_close(flow, diffusion, atol=1e-4, rtol=1e-4)


def test_distillation_ends_at_the_mode(prior):
    z = torch.tensor(-2.0, requires_grad=True)
    optimiser = torch.optim.Adam([z], lr=0.05)
    views, seeds = GaussianViews(prior, 64, (MEAN, SPREAD), (MEAN, SPREAD), 1.0), Seeds(0)
    step = ScoreDistillation(views, seeds, SdsSettings(), "latent")
    for _ in range(300):
        optimiser.zero_grad()
        step(lambda cameras, batch: z.expand(64, 1, 1, 1), 0.0).loss.backward()
        optimiser.step()
    assert z.item() == pytest.approx(MEAN, abs=0.1)
