"""Score distillation against a hand-made prior whose prediction is known."""

import pytest
import torch

from prior3d.distillation.sds import Guidance, annealed, draw_timesteps, sds_loss, sds_weight


class KnownPrior:
    """alpha_bar is 0.75 at timestep 0 and 0.19 at timestep 1; the guided noise is always 2."""

    alphas_cumprod = torch.tensor([0.75, 0.19])

    def add_noise(self, latents, noise, timesteps):
        self.timesteps = timesteps
        return latents

    def predict(self, noisy, timesteps, text, null_text, guidance_scale, camera_embedding):
        assert (guidance_scale, camera_embedding) == (100.0, None)
        return torch.full_like(noisy, 2.0)


@pytest.mark.parametrize(
    ("weighting", "weights"),
    [
        ("one_minus_alpha", (0.25, 0.81)),
        ("sqrt_alpha_one_minus_alpha", (0.75**0.5 * 0.25, 0.19**0.5 * 0.81)),
        ("constant", (1, 1)),
    ],
)
def test_gradient_is_the_weighted_residual_over_the_number_of_elements(weighting, weights):
    latents = torch.randn(2, 4, 2, 2, requires_grad=True)
    noise = torch.full((2, 4, 2, 2), 0.5)
    guidance = Guidance(torch.zeros(2, 1, 1), torch.zeros(1, 1, 1), 100.0)
    loss = sds_loss(latents, KnownPrior(), guidance, torch.tensor([0, 1]), noise, weighting)
    loss.backward()
    for view in (0, 1):
        torch.testing.assert_close(latents.grad[view], torch.full((4, 2, 2), weights[view] * 1.5 / 32))
    residuals = torch.tensor(weights) * 1.5
    assert loss.item() == pytest.approx(0.5 * (residuals**2).mean().item(), rel=1e-5)


def test_weight_keeps_the_shape():
    assert sds_weight(torch.rand(3, 1), "constant").shape == (3, 1)


def test_timesteps_stay_within_their_limits_and_can_be_shared():
    generator = torch.Generator().manual_seed(0)
    drawn = draw_timesteps(2000, 1000, (0.02, 0.03), generator)
    assert drawn.unique().tolist() == list(range(20, 31))
    assert draw_timesteps(200, 1000, (0.99, 1.0), generator).max() == 999
    assert draw_timesteps(8, 1000, (0, 1), generator, shared=True).unique().numel() == 1


def test_annealing_is_linear_and_clamped():
    assert [annealed(0.98, 0.5, p) for p in (-1, 0, 0.5, 1, 2)] == pytest.approx([0.98, 0.98, 0.74, 0.5, 0.5])
