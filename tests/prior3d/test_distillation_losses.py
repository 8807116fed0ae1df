"""The losses of score distillation in a world whose true score is known: where each comes to rest, by closed form."""

import math

import pytest
import torch

from prior3d.diffusion.guidance import Prediction
from prior3d.diffusion.scheduling import Schedule
from prior3d.distillation.ism import interval, inversion_timesteps
from prior3d.distillation.losses import Distillation, distillation_of_one
from prior3d.distillation.vsd import particle_names
from prior3d.distillation.x0 import clean_residual
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import CsdLoss, IsmLoss, SdsLoss, SdsSettings, VsdLoss, X0Loss
from tests.gaussian_world import GaussianViews, exact_noise, gaussian_prior

N = 4000  # views of a step: the mean over their noise is nearly the expectation
WANTED, EMPTY, SCALE = (1.0, 0.5), (-0.2, 0.9), 4.0
LEVEL = {"timestep_min": 0.5, "timestep_max": 0.5, "timestep_max_end": 0.5, "weighting": "constant"}


@pytest.fixture(scope="module")
def prior():
    return gaussian_prior()


def step_of(prior, loss, wanted=WANTED, empty=EMPTY, scale=SCALE, n=N, **settings):
    """One step at timestep 500, as a function of the latents [n, 1, 1, 1]: the mean residual, and all of them."""
    chosen = SdsSettings(loss=loss, guidance_scale=scale, **(LEVEL | settings))
    distil = Distillation(GaussianViews(prior, n, wanted, empty, scale), Seeds(0), chosen, "latent")

    def residual(z, progress=0.0):
        latents = z if isinstance(z, torch.Tensor) else torch.full((n, 1, 1, 1), float(z))
        found = distil(lambda cameras, batch: latents, progress)
        return found.latents - found.target

    return residual


def variance(prior, spread):
    """Of noisy latents at timestep 500."""
    a = prior.schedule.signal[500].item()
    return a * spread**2 + 1 - a


def test_sds_seeks_the_mode_and_guidance_moves_it_beyond(prior):
    """E[eps_hat - eps] = sqrt(a (1 - a)) (z - m) / v; with equal spreads m is m_0 + s (m_y - m_0)."""
    plain = step_of(prior, SdsLoss(), scale=1.0)
    a, v = prior.schedule.signal[500].item(), variance(prior, WANTED[1])
    for z in (-1.0, 1.0, 3.0):
        expected = math.sqrt(a * (1 - a)) * (z - 1.0) / v
        assert plain(z).mean().item() == pytest.approx(expected, abs=0.03)
    guided = step_of(prior, SdsLoss(), wanted=(1.0, 0.5), empty=(0.0, 0.5))
    assert guided(4.0).mean().item() == pytest.approx(0, abs=0.03)
    assert guided(1.0).mean().item() < -0.5


def test_csd_rests_where_prompt_and_no_prompt_agree(prior):
    """(z - m_y) / v_y = (z - m_0) / v_0, so z = (m_y v_0 - m_0 v_y) / (v_0 - v_y); it is no mode of the prompt."""
    vy, v0 = variance(prior, WANTED[1]), variance(prior, EMPTY[1])
    rest = (WANTED[0] * v0 - EMPTY[0] * vy) / (v0 - vy)
    residual = step_of(prior, CsdLoss())
    assert rest > WANTED[0] + 0.2
    assert residual(rest).mean().item() == pytest.approx(0, abs=0.02)
    assert residual(WANTED[0]).mean().item() < -0.05 and residual(rest + 2).mean().item() > 0.05


def test_csd_is_what_guidance_adds_to_sds(prior):
    z = torch.randn(N, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    whole, plain = (step_of(prior, SdsLoss(), scale=scale)(z) for scale in (SCALE, 1.0))
    torch.testing.assert_close(step_of(prior, CsdLoss())(z), whole - plain, rtol=1e-4, atol=1e-5)


def test_the_x0_form_is_sds_weighted_by_noise_over_signal(prior):
    z = torch.randn(N, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    weighted = step_of(prior, SdsLoss(), timestep_schedule="linear", weighting="noise_to_signal")(z)
    found = step_of(prior, X0Loss(rescale=0.0), timestep_schedule="linear")(z)
    torch.testing.assert_close(found, weighted, rtol=1e-3, atol=1e-4)


def test_the_x0_form_takes_contrast_back():
    schedule, at = Schedule(torch.tensor([0.25]), torch.tensor([0.75]), "epsilon"), torch.zeros(2, dtype=torch.long)
    noisy = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    guided = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    parts = Prediction(guided, noisy * 0.5, guided)
    latents = torch.zeros(2, 1, 4, 4)
    full, none, half = (-clean_residual(latents, noisy, parts, schedule, at, rescale) for rescale in (1.0, 0.0, 0.5))
    torch.testing.assert_close(full.std(), schedule.clean_of(noisy, noisy * 0.5, at).std())
    torch.testing.assert_close(none, (noisy - math.sqrt(0.75) * guided) / 0.5)
    torch.testing.assert_close(half, (full + none) / 2)


def test_ism_compares_two_points_of_a_ddim_inversion(prior):
    """By hand: about m_0 each DDIM step multiplies the deviation by (sqrt(a a') s^2 + sqrt((1 - a)(1 - a'))) / v."""
    alphas, spread, z = prior.schedule.signal, EMPTY[1], 0.7
    levels = [0, 50, 250, 450, 500]  # s = 450 = 50 + 2 x 200, then the interval of 50
    deviation = alphas.new_tensor(z) - alphas[0].sqrt() * EMPTY[0]
    for level, following in zip(levels, levels[1:], strict=False):
        a, b = alphas[level], alphas[following]
        v, before = a * spread**2 + 1 - a, deviation
        deviation = deviation * ((a * b).sqrt() * spread**2 + ((1 - a) * (1 - b)).sqrt()) / v
    a, s = alphas[500], alphas[450]
    at_s = (1 - s).sqrt() * before / (s * spread**2 + 1 - s)
    noisy = (deviation + a.sqrt() * EMPTY[0]).view(1, 1, 1, 1)
    with_prompt, without = (exact_noise(noisy, a, *law).item() for law in (WANTED, EMPTY))
    expected = without + SCALE * (with_prompt - without) - at_s.item()
    loss = IsmLoss(interval_start=0.05, interval_end=0.05, inversion_step=0.2)
    found = step_of(prior, loss, n=3)(z)
    assert found.flatten().tolist() == pytest.approx([expected] * 3, rel=1e-3)


def test_ism_rests_at_the_mode_without_noise(prior):
    """Where prompt and no prompt say the same, the inversion of the mode stays on it: nothing is left to do."""
    residual = step_of(prior, IsmLoss(), wanted=(0.6, 0.5), empty=(0.6, 0.5), n=3)
    assert residual(0.6).abs().max().item() < 2e-3
    assert residual(1.6).mean().item() > 0.01 and residual(-0.4).mean().item() < -0.01


@pytest.mark.parametrize(
    ("s", "step", "levels"), [(300, 200, [0, 100, 300]), (200, 200, [0, 200]), (30, 200, [0, 30]), (0, 200, [0])]
)
def test_inversions_end_at_their_level_with_steps_of_equal_length(s, step, levels):
    assert inversion_timesteps(s, step) == levels


def test_the_interval_settles():
    settings = IsmLoss(interval_start=0.1, interval_end=0.02, settles_at=0.4)
    assert [interval(settings, p) for p in (0, 0.2, 0.4, 1)] == pytest.approx([0.1, 0.06, 0.02, 0.02])
    assert interval(IsmLoss(settles_at=0), 0) == pytest.approx(0.025)


class KnownParticles:
    """In place of the LoRA: the exact score of particles that are normal, or of the one point that all views show."""

    def __init__(self, prior, latents, spread):
        self.prior, self.mean, self.spread = prior, latents.mean(), spread

    def turn(self):
        return 0

    def predict(self, batch, noisy, timesteps):
        return exact_noise(noisy, self.prior.schedule.signal[timesteps].view(-1, 1, 1, 1), self.mean, self.spread)

    def loss(self, batch, latents):
        return 0 * latents.sum()


def against_particles(prior, monkeypatch, latents, spread):
    """The residual of VSD where the particles' score is known."""
    known = KnownParticles(prior, latents, spread)
    monkeypatch.setattr("prior3d.distillation.losses.ParticleScore", lambda views, settings, seeds: known)
    return step_of(prior, VsdLoss(), scale=1.0, n=len(latents))(latents)


def test_vsd_of_one_point_is_sds(prior, monkeypatch):
    z = torch.full((N, 1, 1, 1), 2.0)
    sds = step_of(prior, SdsLoss(), scale=1.0)(z)
    torch.testing.assert_close(against_particles(prior, monkeypatch, z, 0.0), sds, rtol=1e-3, atol=1e-3)


def test_vsd_keeps_the_spread_that_sds_loses(prior, monkeypatch):
    """Its fixed point is the prior's own law: particles start elsewhere and come to N(1, 0.5^2)."""
    start = 3 + 0.1 * torch.randn(N, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    particles, collapsing = start.clone(), start.clone()
    sds = step_of(prior, SdsLoss(), scale=1.0)
    for _ in range(60):
        particles = particles - 0.5 * against_particles(prior, monkeypatch, particles, particles.std())
        collapsing = collapsing - 0.5 * sds(collapsing)
    assert particles.mean().item() == pytest.approx(WANTED[0], abs=0.05)
    assert particles.std().item() == pytest.approx(WANTED[1], abs=0.05)
    noise = 0.5 * sds(torch.full((N, 1, 1, 1), WANTED[0])).std()  # what one step's noise does to a point
    assert collapsing.mean().item() == pytest.approx(WANTED[0], abs=0.05)
    assert collapsing.std().item() < 2 * noise.item()


def test_particles_have_names_of_their_own():
    assert particle_names(SdsSettings(loss=VsdLoss(particles=3)), "field") == ["field", "field 1", "field 2"]
    assert particle_names(SdsSettings(), "field") == ["field"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": CsdLoss(), "guidance_scale": 1}, "guidance_scale 1 adds nothing; raise guidance_scale"),
        ({"guidance_rescale": 0.5, "guidance_scale": 1}, "guidance_scale 1 is no guidance; set one of them"),
    ],
)
def test_guidance_of_1_is_refused_where_it_leaves_nothing(settings, message):
    with pytest.raises(ValueError, match=message):
        SdsSettings(**settings)


def test_one_object_cannot_be_several(prior):
    settings = SdsSettings(loss=VsdLoss(particles=2))
    with pytest.raises(Prior3dError, match=r"^sds.loss.particles: found 2, but this stage goes on with one object"):
        distillation_of_one(GaussianViews(prior, 1, WANTED, EMPTY, 1.0), Seeds(0), settings, "latent")
