"""Scores of samples: by hand, on renders judged against themselves, and on a random prior."""

import pytest
import torch

from prior3d.diffusion.text_to_image import load_text_to_image
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.held_out import held_out
from stages.training.scores.text_to_image import autoencoder_scores, kernel_distance, sample_scores, samples
from tests.tiny_prior import write_tiny_prior
from tests.toy_training import write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return RenderedDataset(write_world(tmp_path_factory.mktemp("worlds") / "world"), "held-out")


class Judge:
    """Knows images by their mean colour, and gives every caption the embedding of the image that it belongs to."""

    def __init__(self, real):
        self.known, self.captions, self.words = self.embed_images(real.images), real.captions, real.words

    def embed_images(self, images):
        return torch.nn.functional.normalize(images.mean((2, 3)) - 0.4, dim=-1)

    def r_precision(self, images, own, captions):
        assert captions == self.captions
        return float(((self.embed_images(images) @ self.known.T).argmax(-1) == own).float().mean())

    def view_logits(self, images):
        return torch.eye(4)[torch.zeros(len(images), dtype=torch.long)]  # everything is a front view


def test_kernel_distance_by_hand():
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    # within x: k = (0 + 1)^3 = 1; within y: (-1 + 1)^3 = 0; across: ((0)^3 + (2)^3 + 1 + 1) / 4 = 2.5
    assert kernel_distance(x, y) == pytest.approx(1 + 0 - 2 * 2.5)
    x = torch.nn.functional.normalize(torch.randn(400, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert abs(kernel_distance(x[:200], x[200:])) < 0.2 < kernel_distance(x[:200], x[200:].abs())


def test_held_out_captions_all_differ_and_come_again(world):
    real, again = held_out(world, 6), held_out(world, 6)
    assert len(set(real.captions)) == 6 and real.captions == again.captions
    assert torch.equal(real.images, again.images) and real.images.shape == (6, 3, 32, 32)
    for image, caption, background in zip(real.images, real.captions, real.backgrounds, strict=True):
        corner = {"white": 1.0, "grey": 0.5, "black": 0.0}[background]
        assert image[:, 0, 0].tolist() == pytest.approx([corner] * 3)
        colour = image[:, 16, 16]
        assert colour.argmax() == {"red": 0, "green": 1, "blue": 2, "yellow": 0}[caption.split()[1]]
    with pytest.raises(ValueError, match="8 different captions, but 9 are asked for"):
        held_out(world, 9)


def test_real_renders_score_as_themselves(world, monkeypatch):
    real = held_out(world, 6)
    front = torch.tensor([word == "front view" for word in real.words])
    monkeypatch.setattr(
        "stages.training.datasets.held_out.kind_of_caption", lambda caption: type("Kind", (), {"front": True})
    )
    scores = sample_scores(Judge(real), real, real.images)
    assert scores["r_precision_samples"] == scores["r_precision_real"]
    assert scores["view_word_samples"] == scores["view_word_real"] == pytest.approx(float(front.float().mean()))
    grey = sample_scores(Judge(real), real, torch.full_like(real.images, 0.7))
    assert grey["r_precision_samples"] < 0.2 < scores["r_precision_real"]
    assert grey["kid_samples"] > scores["kid_samples"]


def test_samples_and_reconstructions_of_a_random_prior(world, tmp_path):
    prior = load_text_to_image(write_tiny_prior(tmp_path / "p", camera=True), torch.device("cpu"))
    real = held_out(world, 5)
    drawn = samples(prior, real, 2.0, 2, at_once=2)
    assert drawn.shape == (5, 3, 32, 32) and torch.equal(drawn, samples(prior, real, 2.0, 2, at_once=2))
    found = autoencoder_scores(prior, real, at_once=2)
    decoded = prior.decode(prior.encode(real.images))
    error = (decoded - real.images).square().mean((1, 2, 3))
    assert found["vae_psnr_db"] == pytest.approx(float((-10 * error.log10()).mean()), abs=1e-3)
    assert found["vae_delta_e"] > 5
