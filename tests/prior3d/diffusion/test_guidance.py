"""Forms of guidance: Perp-Neg by hand, rescaling against diffusers, and both through a prior."""

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from prior3d.cameras import Orbit
from prior3d.diffusion.guidance import perp_neg, perpendicular, rescaled
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.distillation.view_sampler import ViewSampler, view_negatives
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")


def vector(*values):
    """One view whose latents are these numbers."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_a_negative_takes_nothing_from_the_prompts_direction():
    assert perpendicular(vector(3, 4), vector(2, 0)).flatten().tolist() == [0, 4]
    assert perpendicular(vector(3, 4), vector(0, 0)).flatten().tolist() == [3, 4]
    without, with_text, negative = vector(1, 1), vector(3, 1), vector(4, 5)  # directions (2, 0) and (3, 4)
    found = perp_neg(without, with_text, negative[None], torch.tensor([[0.5]]), 3.0)
    assert found.flatten().tolist() == [1 + 3 * 2, 1 - 3 * 0.5 * 4]
    torch.testing.assert_close(perp_neg(without, with_text, negative[None], torch.zeros(1, 1), 3.0), vector(7, 1))


@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_rescaling_is_that_of_diffusers(amount):
    generator = torch.Generator().manual_seed(0)
    guided, conditional = (torch.randn(3, 4, 8, 8, generator=generator) for _ in range(2))
    torch.testing.assert_close(
        rescaled(4 * guided, conditional, amount), rescale_noise_cfg(4 * guided, conditional, amount)
    )


def orbit(*azimuth_deg):
    angles = torch.tensor(azimuth_deg)
    return Orbit(angles, torch.zeros_like(angles), torch.full_like(angles, 3.2), torch.full_like(angles, 40.0))


def test_neighbouring_views_are_negatives_by_how_near_they_are():
    words, weights = view_negatives(
        orbit(0.0, 90.0, 270.0, 180.0, 45.0, 30.0),
        ["front view", "side view", "side view", "back view", "side view", "overhead view"],
    )
    assert words[0] == ("front view", "side view") and words[1] == ("side view", "front view")
    assert words[2] == words[1] and words[3] == ("side view", "front view")
    first, second = weights.tolist()
    assert first[0] == 0 and second[0] == pytest.approx(4 - 4 * 0.60653, abs=1e-4)  # in front: only "side view"
    assert first[1] == pytest.approx(0, abs=1e-6) and second[1] == pytest.approx(0.60653 + 0.967, abs=1e-4)
    assert first[1:3] == first[1:2] * 2 and second[2] == second[1]  # left and right alike
    assert first[3] == pytest.approx(1 - 0.60653, abs=1e-4) and second[3] == pytest.approx(1.967, abs=1e-4)
    assert first[4] == second[4] == pytest.approx(4 * (0.77880 - 0.60653), abs=1e-3)
    assert first[5] == second[5] == 0


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return load_text_to_image(write_tiny_prior(tmp_path_factory.mktemp("guidance") / "p"), CPU)


def sampler(prior, scale=3.0, rescale=0.0, **prompting):
    given = PromptSettings(camera_conditioning=False, **prompting)
    guidance = SdsSettings(guidance_scale=scale, guidance_rescale=rescale)
    return ViewSampler(prior, "a red ball", ViewSettings(per_step=3), given, guidance, named_backgrounds=True)


def test_a_sampler_asks_with_perp_neg_and_rescaling(tmp_path):
    """What comes out is what the formulas make of the prior's answers to each prompt alone."""
    prior = load_text_to_image(write_tiny_prior(tmp_path / "p"), CPU)
    views = sampler(prior, 3.0, 0.7, negative_prompt="a cube", perp_neg_weight=0.5, perp_neg_view_weight=1.0)
    batch = views.sample(Seeds(0))
    noisy = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    at = torch.tensor([100, 500, 900])
    asked = batch.conditioning
    assert asked.negatives.shape[:2] == (3, 3) and asked.negative_weights.shape == (3, 3)
    assert torch.equal(asked.negatives[0, 0], prior.embed(["a cube"])[0])
    assert torch.equal(asked.null_text, prior.embed([""]))
    plain, empty, *negatives = (
        prior.diffusion.network(noisy, at, text.expand(3, -1, -1))
        for text in (asked.text, asked.null_text, *asked.negatives)
    )
    guided = perp_neg(empty, plain, torch.stack(negatives), asked.negative_weights, 3.0)
    expected = rescaled(guided, plain, 0.7)
    torch.testing.assert_close(views.predict(batch, noisy, at), expected, rtol=1e-4, atol=1e-4)
    parts = views.parts(batch, noisy, at)
    torch.testing.assert_close(parts.conditional, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts.unconditional, empty, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(views.without_prompt(batch, noisy, at), empty, rtol=1e-4, atol=1e-5)


def test_some_views_can_be_asked_about_alone(tmp_path):
    prior = load_text_to_image(write_tiny_prior(tmp_path / "p"), CPU)
    views = sampler(prior, negative_prompt="a cube", perp_neg_weight=0.5)
    asked = views.sample(Seeds(0)).conditioning
    some = asked.of_views(torch.tensor([True, False, True]))
    assert torch.equal(some.text, asked.text[[0, 2]]) and torch.equal(some.null_text, asked.null_text)
    assert torch.equal(some.negatives, asked.negatives[:, [0, 2]]) and some.negative_weights.shape == (1, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"perp_neg_weight": 1.0}, "negative_prompt is empty; give one"),
        ({"perp_neg_view_weight": 1.0, "view_words": False}, "view_words is off; switch view_words on"),
    ],
)
def test_negatives_without_words_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PromptSettings(**settings)


def test_negatives_without_guidance_are_refused(prior):
    with pytest.raises(Prior3dError, match="guidance_scale 1 is no guidance; raise it"):
        sampler(prior, scale=1.0, perp_neg_view_weight=1.0)
