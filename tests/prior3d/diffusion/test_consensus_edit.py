"""What several edits agree on: by hand, on answers that are known."""

import pytest
import torch

from prior3d.dataset_update.consensus import (
    ConsensusEditSettings,
    apply_residual,
    consensus_edit,
    relative_size,
    soft_threshold,
)
from prior3d.diffusion.instruct import EditSettings, InstructPrior, load_instruct
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from tests.tiny_prior import write_tiny_prior

EVERY_CHANGE = ConsensusEditSettings(relative_threshold=0)


class LossyDiffusion(LatentDiffusion):
    """An autoencoder that loses a tenth of all brightness; latents are images."""

    def __init__(self):
        self.device = torch.device("cpu")

    def encode(self, images, generator=None):
        return 0.9 * images

    def decode(self, latents):
        return latents


class Painter(InstructPrior):
    """Paints the left half of every image red, and draws noise of the generator over all of it."""

    def __init__(self):
        super().__init__(LossyDiffusion())
        self.asked = []

    def edit(self, start, originals, instructions, settings, camera=None, *, timesteps=None, generator):
        self.asked.append(settings)
        edited = 0.9 * originals.clone()
        edited[..., : edited.shape[-1] // 2] = torch.tensor([0.9, 0.0, 0.0])[:, None, None]
        return edited + 0.05 * torch.randn(edited.shape, generator=generator)


def generator():
    return torch.Generator().manual_seed(0)


def test_the_rest_of_the_picture_keeps_its_own_pixels():
    images = torch.full((2, 3, 16, 16), 0.5)
    edited = consensus_edit(Painter(), images, ["make it red"], generator=generator())
    torch.testing.assert_close(edited[..., 9:], images[..., 9:], atol=0, rtol=0)
    red = edited[..., :7].mean(dim=(0, 2, 3))
    assert red.tolist() == pytest.approx([0.95, 0.05, 0.05], abs=0.03), "what the autoencoder loses is not lost"
    whole = consensus_edit(Painter(), images, ["make it red"], settings=EVERY_CHANGE, generator=generator())
    assert (whole[..., 9:] - 0.5).abs().max() > 0.005, "without a least share the noise stays"


def test_more_answers_are_less_noise_and_each_has_its_own():
    images, painter = torch.full((1, 3, 16, 16), 0.5), Painter()

    def noise_of(n):
        settings = ConsensusEditSettings(n_samples=n, relative_threshold=0)
        edited = consensus_edit(painter, images, [""], settings=settings, generator=generator())
        return float(edited[..., 8:].std())

    noise = noise_of(1), noise_of(16)
    assert noise[1] == pytest.approx(noise[0] / 4, rel=0.2)
    assert len(painter.asked) == 17 and painter.asked[0].num_inference_steps == 4
    with pytest.raises(ValueError, match="n_samples 0: use at least 1"):
        ConsensusEditSettings(n_samples=0)


def test_noise_alone_is_no_edit():
    images = torch.full((1, 3, 16, 16), 0.5)
    mean = 0.45 + 0.005 * torch.randn(images.shape, generator=generator())
    torch.testing.assert_close(apply_residual(Painter(), images, mean), images, atol=0, rtol=0)


def test_sizes_are_shares_of_each_pictures_own_greatest():
    change = torch.zeros(2, 3, 10, 10)
    change[0, 1, :, :5], change[1, 2, :, :5] = 0.4, -0.8
    sizes = relative_size(change)
    assert sizes[:, 0, 5, 2].tolist() == pytest.approx([1.0, 1.0]) and sizes[:, 0, 5, 8].tolist() == [0.0, 0.0]
    assert soft_threshold(torch.tensor([0.2, 0.4, 0.5, 0.6]), 0.4).tolist() == pytest.approx([0, 0.5, 0.75, 1.0])


def test_a_real_prior_is_asked_as_any_edit(tmp_path):
    prior = load_instruct(write_tiny_prior(tmp_path / "p", in_channels=8), torch.device("cpu"))
    images = torch.rand(2, 3, 32, 32, generator=generator())
    settings = ConsensusEditSettings(EditSettings(num_inference_steps=2), n_samples=2)
    edited = consensus_edit(prior, images, ["a red"], None, settings, generator=generator())
    assert edited.shape == images.shape and edited.min() >= 0 and edited.max() <= 1
    again = consensus_edit(prior, images, ["a red"], None, settings, generator=generator())
    assert torch.equal(edited, again)
