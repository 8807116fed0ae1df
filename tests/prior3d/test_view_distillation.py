"""What the prior is asked and how far it is trusted: the traps of the released code, one test each."""

import pytest
import torch

from prior3d.cameras import Cameras, orbit_cameras, ring
from prior3d.diffusion.scheduling import descending_timesteps
from prior3d.diffusion.views import load_views
from prior3d.distillation.sparse_views import (
    not_copies,
    predict_views,
    sdedit_steps,
    sdedit_timestep,
    sdedit_views,
    triangulation_matting,
)
from prior3d.errors import Prior3dError
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.leave_one_out import leave_one_out, prior_confidence
from prior3d.settings.sparse_views import ConfidenceSettings
from tests.tiny_views import write_tiny_views


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return load_views(write_tiny_views(tmp_path_factory.mktemp("priors") / "views"), torch.device("cpu"))


def given(n=2, masked=True, size=32):
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(n, size, size, generator=generator) > 0.5).float() if masked else None
    colours = torch.rand(n, 3, size, size, generator=generator)
    return InputViews(colours if masks is None else colours * masks[:, None], masks, torch.ones(n, size, size), rig(n))


def rig(n, start_deg=0.0):
    return orbit_cameras(ring(n, 15.0, start_deg=start_deg), 32, 32)


def test_masks_and_colours_come_back_from_pictures_on_three_backgrounds():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(2, 4, 4, generator=generator)
    colours = torch.rand(2, 3, 4, 4, generator=generator) * masks[:, None]
    levels = [0.0, 0.5, 1.0]
    found, seen = triangulation_matting([colours + (1 - masks[:, None]) * level for level in levels], levels)
    assert torch.allclose(seen, masks, atol=1e-6) and torch.allclose(found, colours, atol=1e-6)


def test_a_wanted_view_does_not_depend_on_what_it_is_asked_together_with(prior):
    """Evaluation mode: neither dropout nor batch statistics, whatever else is in the batch."""
    assert not any(
        part.training
        for network in (prior.diffusion.unet, prior.epipolar, prior.diffusion.vae)
        for part in network.modules()
    )
    wanted = rig(3, 40.0)
    together = predict_views(prior, given(), wanted, 0.5)
    alone = predict_views(prior, given(), wanted[1], 0.5)
    torch.testing.assert_close(together.features[1:2], alone.features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.colours[1:2], alone.colours, atol=1e-5, rtol=1e-4)


def test_no_wanted_camera_may_be_an_input(prior):
    inputs, other = rig(2), rig(1, 40.0)
    both = [torch.cat([getattr(other, name), getattr(inputs, name)[:1]]) for name in ("c2w", "fov_deg")]
    with pytest.raises(Prior3dError, match="camera 1 is that of input 0"):
        predict_views(prior, given(), Cameras(*both, 32, 32), 0.5)
    assert torch.equal(not_copies(inputs, Cameras(*both, 32, 32)).c2w, other.c2w)


def test_without_masks_the_pictures_are_asked_about_as_they_are(prior):
    seen = predict_views(prior, given(masked=False), rig(2, 40.0), 1.0)
    assert seen.masks is None and seen.colours.shape == (2, 3, 32, 32)


def test_noise_levels_are_clamped_and_never_nothing():
    assert [sdedit_timestep(level, 1000) for level in (0.0, 0.5, 0.99, 1.0)] == [1, 500, 990, 990]
    assert [sdedit_steps(level, 50) for level in (0.0, 0.07, 0.3, 1.0)] == [1, 7, 30, 50]


@pytest.mark.parametrize("level", [0.5, 0.99, 1.0])
def test_denoising_begins_with_noised_latents_at_every_level(prior, monkeypatch, level):
    """The released code begins with clean latents where the level is just at its clamp."""
    begun = []

    def denoise(noisy, timesteps, features):
        begun.append((noisy, timesteps))
        return noisy

    monkeypatch.setattr(prior, "denoise", denoise)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    features = torch.zeros(2, 8, 8, 8)
    _, weight = sdedit_views(prior, images, features, level, 8, torch.Generator().manual_seed(2))
    (noisy, timesteps) = begun[0]
    timestep = sdedit_timestep(level, 1000)
    noise = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(2))
    expected = prior.add_noise(prior.encode(images), noise, torch.full((2,), timestep))
    assert torch.allclose(noisy, expected, atol=1e-5) and timesteps == descending_timesteps(timestep, 8)
    assert weight == pytest.approx(1 - float(prior.schedule.signal[timestep]))


def test_no_gradient_passes_through_the_prior(prior):
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    made, _ = sdedit_views(prior, images, torch.zeros(1, 8, 8, 8), 0.3, 2, torch.Generator().manual_seed(0))
    assert not made.requires_grad and made.min() >= 0 and made.max() <= 1


def test_views_are_left_out_one_at_a_time_and_are_never_among_the_others():
    assert leave_one_out(1, 4) == []
    assert leave_one_out(3, 4) == [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])]
    some = leave_one_out(10, 4)
    assert len(some) == 4 and all(view not in others and len(others) == 9 for view, others in some)


def test_confidence_falls_from_as_good_to_three_decibels_worse():
    assert prior_confidence([], [], ConfidenceSettings()) == 1.0
    assert prior_confidence([20.0, 22.0], [20.0, 20.0], ConfidenceSettings()) == 1.0
    assert prior_confidence([18.5], [20.0], ConfidenceSettings()) == pytest.approx(0.5)
    assert prior_confidence([10.0], [20.0], ConfidenceSettings()) == 0.0
    with pytest.raises(Prior3dError, match="1 images of the prior, 2 of fits"):
        prior_confidence([1.0], [1.0, 2.0], ConfidenceSettings())
    assert prior_confidence([18.5], [20.0], ConfidenceSettings(full_at_db=1.0, none_at_db=-2.0)) == pytest.approx(1 / 6)
