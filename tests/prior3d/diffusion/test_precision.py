"""Frozen networks in 16 bits: what they say stays near float32's, and gradients do not vanish."""

import pytest
import torch

from prior3d.diffusion.networks import GradientScale, dtype_of
from prior3d.diffusion.text_to_image import load_text_to_image
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")
SMALL = 1e-7  # of a gradient's entries: float16 knows none below 6e-8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("prior") / "tiny")


def image_gradient(prior, scale):
    """The gradient of an image, from one of that size at its latents."""
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    latents = prior.encode(image)
    towards = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((latents * towards * scale).sum(), image)
    return gradient / scale


@pytest.mark.parametrize(("precision", "within"), [("float16", 0.02), ("bfloat16", 0.1)])
@pytest.mark.parametrize("scale", [SMALL, 1.0, 1e5])
def test_gradients_through_the_encoder_are_those_of_float32(folder, precision, within, scale):
    exact = image_gradient(load_text_to_image(folder, CPU), 1.0)
    found = image_gradient(load_text_to_image(folder, CPU, dtype_of(precision)), scale)
    assert found.dtype == torch.float32
    assert (found - exact).norm() <= within * exact.norm()


def test_without_a_scale_of_its_own_most_of_a_small_gradient_would_vanish():
    """What the scale is for: the control of the test above."""
    weight = torch.randn(100, 100, generator=torch.Generator().manual_seed(0)).half() / 10

    def gradient(into, out_of):
        values = torch.ones(1, 100, requires_grad=True)
        (found,) = torch.autograd.grad((out_of(into(values) @ weight) * SMALL).sum(), values)
        return found

    plain = gradient(lambda x: x.half(), lambda x: x.float())
    passage = GradientScale(torch.float16)
    kept = gradient(passage.into, passage.out_of)
    exact = weight.float().sum(1) * SMALL
    assert (plain - exact).norm() > 0.1 * exact.norm()
    assert (kept - exact).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_prior_of_16_bits_takes_and_gives_float32_and_says_nearly_the_same(folder, precision):
    exact, half = load_text_to_image(folder, CPU), load_text_to_image(folder, CPU, dtype_of(precision))
    assert half.diffusion.unet.dtype == dtype_of(precision)
    noisy = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([100, 700])
    said = [p.predict(noisy, timesteps, p.conditioning(["a red ball"] * 2, "", 7.5, None)) for p in (exact, half)]
    assert said[1].dtype == torch.float32
    assert (said[1] - said[0]).norm() <= 0.1 * said[0].norm()
    pictures = [p.decode(noisy) for p in (exact, half)]
    assert pictures[1].dtype == torch.float32 and (pictures[1] - pictures[0]).abs().max() < 0.1
