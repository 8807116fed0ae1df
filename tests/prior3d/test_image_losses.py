"""Depth up to scale and offset, and a scorer's opinion: values by hand, gradients that reach what is rendered."""

import pytest
import torch

from prior3d.diffusion.guidance import Conditioning
from prior3d.losses.images import denoised_images, dissimilarity, looks_like, pearson_depth
from tests.known_priors import MeanColour, flat_prior

ALPHAS = torch.tensor([0.9, 0.25])


def test_depth_is_compared_up_to_scale_and_offset():
    depth, ones = torch.tensor([1.0, 2, 3, 5]), torch.ones(4)
    assert pearson_depth(depth, 0.1 * depth + 7, ones).item() == pytest.approx(0, abs=1e-6)
    assert pearson_depth(depth, -depth, ones).item() == pytest.approx(2, abs=1e-6)
    # means 1 and 2, deviations (-1, 0, 1) and (-1, 1, 0): covariance 1/3, variances 2/3
    three = pearson_depth(torch.tensor([0.0, 1, 2]), torch.tensor([1.0, 3, 2]), torch.ones(3))
    assert three.item() == pytest.approx(1 - 0.5, abs=1e-6)


def test_pixels_without_weight_do_not_count():
    depth, reference = torch.tensor([1.0, 2, 3, 99]), torch.tensor([1.0, 2, 3, -50])
    assert pearson_depth(depth, reference, torch.tensor([1.0, 1, 1, 0])).item() == pytest.approx(0, abs=1e-6)


def test_depth_has_a_gradient_and_a_flat_one_has_none_that_is_not_finite():
    depth = torch.tensor([0.0, 1, 2], requires_grad=True)
    pearson_depth(depth, torch.tensor([1.0, 3, 2]), torch.ones(3)).backward()
    assert depth.grad[1] < 0 < depth.grad[2]  # the middle should be the farthest
    assert depth.grad.sum().item() == pytest.approx(0, abs=1e-6)  # an offset changes nothing
    flat = torch.ones(3, requires_grad=True)
    loss = pearson_depth(flat, torch.tensor([1.0, 3, 2]), torch.ones(3))
    loss.backward()
    assert loss.item() == 0 and (flat.grad == 0).all()


def test_a_scorers_opinion_by_hand():
    embeddings = torch.tensor([[1.0, 0], [0.6, 0.8]])
    assert dissimilarity(embeddings, torch.tensor([[1.0, 0]])).item() == pytest.approx((0 + 0.4) / 2)
    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 1
    wanted_red, wanted_green = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 1, 0]])
    assert looks_like(red, MeanColour(), wanted_red, None).item() == pytest.approx(0)
    assert looks_like(red, MeanColour(), wanted_red, wanted_green).item() == pytest.approx(1)
    assert looks_like(red, MeanColour(), None, None).item() == 0


def test_what_a_scorer_says_of_the_denoised_image_reaches_the_latents():
    latents = torch.full((1, 4, 2, 2), 0.5, requires_grad=True)
    noise, asked = torch.full((1, 4, 2, 2), 0.2), Conditioning(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 1.0)
    images = denoised_images(latents, flat_prior(ALPHAS), asked, torch.tensor([1]), noise)
    # noisy = 0.5 * 0.5 + sqrt(0.75) * 0.2, and no noise is predicted: over sqrt(0.25)
    assert images.flatten()[0].item() == pytest.approx((0.25 + 0.75**0.5 * 0.2) / 0.5)
    looks_like(images, MeanColour(), torch.tensor([[1.0, 0, 0]]), None).backward()
    assert (latents.grad[:, 0] < 0).all() and (latents.grad[:, 1:3] > 0).all() and (latents.grad[:, 3] == 0).all()
