"""Score distillation against a hand-made prior whose prediction is known."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.inpainting import load_inpainting
from prior3d.diffusion.instruct import load_instruct
from prior3d.diffusion.scheduling import Schedule
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.diffusion.views import load_views
from prior3d.distillation.losses import Distillation
from prior3d.distillation.sds import (
    ScoreDistillation,
    annealed,
    distillation_target,
    draw_timesteps,
    dreamtime_timestep,
    sds_loss,
    sds_weight,
    timesteps_of_step,
)
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import CsdLoss, IsmLoss, SdsSettings, VsdLoss, X0Loss
from tests.tiny_prior import write_tiny_prior
from tests.tiny_views import TINY, write_tiny_views

CPU = torch.device("cpu")
TWO = Schedule(torch.tensor([0.75, 0.19]), torch.tensor([0.25, 0.81]), "epsilon")  # timesteps, one a view
BOTH = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("weighting", "weights"),
    [
        ("one_minus_alpha", (0.25, 0.81)),
        ("sqrt_alpha_one_minus_alpha", (0.75**0.5 * 0.25, 0.19**0.5 * 0.81)),
        ("constant", (1, 1)),
        ("noise_to_signal", ((0.25 / 0.75) ** 0.5, (0.81 / 0.19) ** 0.5)),
    ],
)
def test_gradient_is_the_weighted_residual_over_the_number_of_elements(weighting, weights):
    latents = torch.randn(2, 4, 2, 2, requires_grad=True)
    target = distillation_target(latents, torch.full((2, 4, 2, 2), 1.5), TWO, BOTH, weighting)
    loss = sds_loss(latents, target)
    loss.backward()
    for view in (0, 1):
        torch.testing.assert_close(latents.grad[view], torch.full((4, 2, 2), weights[view] * 1.5 / 32))
    residuals = torch.tensor(weights) * 1.5
    assert loss.item() == pytest.approx(0.5 * (residuals**2).mean().item(), rel=1e-5)


def test_weight_keeps_the_shape():
    assert sds_weight(TWO, torch.zeros(3, 1, dtype=torch.long), "constant").shape == (3, 1)


def test_timesteps_stay_within_their_limits_and_can_be_shared():
    generator = torch.Generator().manual_seed(0)
    drawn = draw_timesteps(2000, 1000, (0.02, 0.03), generator)
    assert drawn.unique().tolist() == list(range(20, 31))
    assert draw_timesteps(200, 1000, (0.99, 1.0), generator).max() == 999
    assert draw_timesteps(8, 1000, (0, 1), generator, shared=True).unique().numel() == 1


def test_annealing_is_linear_and_clamped():
    assert [annealed(0.98, 0.5, p) for p in (-1, 0, 0.5, 1, 2)] == pytest.approx([0.98, 0.98, 0.74, 0.5, 0.5])


def schedule(name, progress, **settings):
    """The timesteps of three views with Stable Diffusion's noise levels."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    settings, signal = SdsSettings(timestep_schedule=name, **settings), (1 - betas).cumprod(0)
    levels = Schedule(signal, 1 - signal, "epsilon")
    return timesteps_of_step(3, levels, settings, progress, torch.Generator().manual_seed(0), False)


def test_a_linear_schedule_falls_from_the_highest_to_the_lowest_level():
    assert [schedule("linear", p).unique().tolist() for p in (0, 0.5, 1)] == [[980], [500], [20]]
    assert schedule("drawn", 0.5).unique().numel() == 3


def test_dreamtime_never_rises_and_spends_its_steps_where_its_weight_is():
    taken = [int(schedule("dreamtime", p / 100)[0]) for p in range(101)]
    assert taken == sorted(taken, reverse=True) and taken[0] == 980 and taken[-1] < 300
    # with a constant signal-to-noise ratio W is W_p alone: by hand, of 1,000 timesteps without limits
    t = torch.arange(1000) / 1000
    bump = torch.where(t > 0.8, torch.exp(-((t - 0.8) ** 2) / 0.18), torch.exp(-((0.5 - t).clamp_min(0) ** 2) / 0.02))
    even = Schedule(torch.full((1000,), 0.5), torch.full((1000,), 0.5), "epsilon")
    for progress in (0.2, 0.5, 0.9):
        found = dreamtime_timestep(even, (0.0, 1.0), progress)
        assert (bump[found:].sum() / bump.sum()).item() == pytest.approx(progress, abs=0.002)


class FixedViews:
    """Views of one camera; the prior of a role is asked through a function."""

    def __init__(self, prior, ask):
        self.prior, self.ask = prior, ask

    def sample(self, seeds):
        return int(torch.randint(9, (), generator=seeds.generator("cameras")))

    def cameras(self, batch, size):
        return orbit_cameras(ring(1, 15.0, 3.2, 40.0), size, size)

    def predict(self, batch, noisy, timesteps):
        return self.ask(self.prior, noisy, timesteps)


def asked(prior):
    return Conditioning(prior.embed(["a red ball"]), prior.embed([""]), 2.0)


def ask_inpainting(prior, noisy, timesteps):
    hole = torch.cat([torch.ones_like(noisy[:, :1]), torch.zeros_like(noisy)], dim=1)
    return prior.diffusion.predict(noisy, timesteps, asked(prior), hole)


ROLES = {
    "text_to_image": (
        lambda folder: load_text_to_image(write_tiny_prior(folder), CPU),
        lambda prior, noisy, at: prior.predict(noisy, at, asked(prior)),
    ),
    "inpainting": (lambda folder: load_inpainting(write_tiny_prior(folder, in_channels=9), CPU), ask_inpainting),
    "instruct": (
        lambda folder: load_instruct(write_tiny_prior(folder, in_channels=8), CPU),
        lambda prior, noisy, at: prior.predict(noisy, at, asked(prior), torch.zeros_like(noisy), 1.5),
    ),
    "views": (
        lambda folder: load_views(write_tiny_views(folder), CPU),
        lambda prior, noisy, at: prior.predict(noisy, at, torch.zeros(1, 4 + TINY.features, 8, 8), 2.0),
    ),
}


@pytest.mark.parametrize("space", ["latent", "image"])
@pytest.mark.parametrize("role", ROLES)
def test_a_prior_of_every_role_can_be_distilled(tmp_path, role, space):
    load, ask = ROLES[role]
    step = ScoreDistillation(FixedViews(load(tmp_path / role), ask), Seeds(0), SdsSettings(), space)
    size, channels = (8, 4) if space == "latent" else (32, 3)
    rendered = torch.full((1, channels, size, size), 0.5, requires_grad=True)
    found = step(lambda cameras, batch: rendered, progress=0.5)
    found.loss.backward()
    assert found.latents.shape == (1, 4, 8, 8) and found.prior_images is rendered
    assert torch.isfinite(rendered.grad).all() and rendered.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return load_text_to_image(write_tiny_prior(tmp_path_factory.mktemp("tiny") / "p"), torch.device("cpu"))


def encoded_gradient(prior, images, at_once):
    """The gradient of images, and bytes that the encoder keeps, when so many are encoded at once (0: all)."""
    views = FixedViews(prior, lambda prior, noisy, timesteps: torch.zeros_like(noisy))
    distil = ScoreDistillation(views, Seeds(0), SdsSettings(views_at_once=at_once), "image")
    given, kept = images.clone().requires_grad_(), {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        distilled = distil(lambda cameras, batch: given, 0.5)
    distilled.loss.backward()
    return given.grad, sum(kept.values())


def test_encoding_a_few_views_at_once_changes_no_gradient_and_keeps_less(tiny):
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole, all_bytes = encoded_gradient(tiny, images, 0)
    parts, few_bytes = encoded_gradient(tiny, images, 1)
    torch.testing.assert_close(parts, whole)
    assert few_bytes < all_bytes / 2


def test_views_that_know_no_prompt_are_refused_by_all_losses_but_sds(tiny):
    views = FixedViews(tiny, lambda prior, noisy, timesteps: torch.zeros_like(noisy))
    for loss in (CsdLoss(), IsmLoss(), VsdLoss(), X0Loss()):
        with pytest.raises(Prior3dError, match=rf"^loss {loss.kind}: it asks .* set sds.loss.kind=sds$"):
            Distillation(views, Seeds(0), SdsSettings(loss=loss), "latent")


def test_distillation_can_begin_late_and_leave_views_out(tiny):
    views = FixedViews(tiny, lambda prior, noisy, timesteps: torch.zeros_like(noisy))
    latents = torch.randn(1, 4, 8, 8, requires_grad=True)
    distil = ScoreDistillation(views, Seeds(0), SdsSettings(starts_at=0.5, weight=2.0), "latent")
    assert distil(lambda cameras, batch: latents, 0.4).loss.item() == 0
    found = distil(lambda cameras, batch: latents, 0.5)
    assert found.loss.item() > 0
    assert found.loss_of(torch.tensor([True])).item() == pytest.approx(found.loss.item())
    assert found.loss_of(torch.tensor([False])).item() == 0


@pytest.mark.parametrize("size", [8, 16])
def test_a_loss_over_a_number_of_elements_weighs_as_a_sum(tiny, size):
    """Of latents of any size: 2 views, each a sum over 4 x size x size elements, divided by 1,024 and by the views."""
    views = FixedViews(tiny, lambda prior, noisy, timesteps: torch.zeros_like(noisy))
    views.cameras = lambda batch, size: orbit_cameras(ring(2, 15.0, 3.2, 40.0), size, size)
    latents = torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = ScoreDistillation(views, Seeds(0), SdsSettings(elements=1024, weight=3.0), "latent")(
        lambda cameras, batch: latents, 0.5
    )
    expected = 3.0 * 0.5 * (latents - found.target).square().sum() / 1024 / 2
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.loss_of(torch.tensor([True, True])).item() == pytest.approx(expected.item(), rel=1e-5)
