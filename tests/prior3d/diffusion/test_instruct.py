"""The instruct prior: its guidance by hand, and against diffusers' own pipeline."""

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionInstructPix2PixPipeline

from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.instruct import EditSettings, load_instruct
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", in_channels=8)


@pytest.fixture(scope="module")
def prior(folder):
    return load_instruct(folder, CPU)


def pictures(seed=0):
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_guidance_adds_up_what_image_and_text_change(prior):
    noisy, at = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([900, 40])
    text, null, condition = prior.embed(["a red"]), prior.embed([""]), prior.condition(pictures())

    def one(words, seen):
        labels = torch.cat([noisy, seen], dim=1)
        return prior.diffusion.unet(labels, at, encoder_hidden_states=words.expand(2, -1, -1)).sample

    with torch.no_grad():
        neither, image, both = one(null, 0 * condition), one(null, condition), one(text, condition)
    assert (image - neither).abs().max() > 1e-4 and (both - image).abs().max() > 1e-4
    expected = neither + 1.5 * (image - neither) + 7.5 * (both - image)
    guided = prior.predict(noisy, at, Conditioning(text, null, 7.5), condition, 1.5)
    torch.testing.assert_close(guided, expected, atol=2e-5, rtol=1e-4)


def test_guidance_is_one_call_of_the_network(prior, monkeypatch):
    calls, network = [], prior.diffusion.network
    monkeypatch.setattr(prior.diffusion, "network", lambda *a: calls.append(len(a[0])) or network(*a))
    prior.edit(
        pictures(),
        pictures(1),
        ["a red"],
        EditSettings(num_inference_steps=3),
        generator=torch.Generator().manual_seed(0),
    )
    assert calls == [6, 6, 6]


def test_the_condition_is_not_scaled(prior):
    raw = prior.diffusion.vae.encode(pictures() * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(prior.condition(pictures()), raw)
    assert prior.diffusion.scaling_factor == 0.5


def test_editing_agrees_with_diffusers_pipeline(prior, folder, monkeypatch):
    original = pictures()[:1]
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    expected = pipeline(
        prompt="a red ball",
        image=original,
        latents=noise,
        guidance_scale=3.0,
        image_guidance_scale=1.5,
        num_inference_steps=4,
        output_type="pt",
    ).images
    timesteps = pipeline.scheduler.timesteps.tolist()
    monkeypatch.setattr(prior.diffusion, "add_noise", lambda latents, noise, at: noise)  # they begin with noise alone
    ours = prior.edit(
        original,
        original,
        ["a red ball"],
        EditSettings(guidance_scale=3.0, image_guidance_scale=1.5),
        timesteps=timesteps,
        generator=torch.Generator().manual_seed(4),
    )
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=0)


def test_the_lower_the_strength_the_more_of_the_image_stays(prior):
    start = pictures(2)
    kept = prior.decode(prior.encode(start))

    def change(strength):
        settings = EditSettings(num_inference_steps=4, strength=strength)
        edited = prior.edit(start, pictures(), ["a"], settings, generator=torch.Generator().manual_seed(0))
        return (edited - kept).abs().mean()

    assert change(0.02) < change(0.3) < change(0.99)
    with pytest.raises(Prior3dError, match="5 steps do not fit below timestep 4"):
        settings = EditSettings(num_inference_steps=5, strength=0.004)
        prior.edit(start, start, ["a"], settings, generator=torch.Generator())


def test_relevance_is_what_the_words_change_in_the_predicted_noise(prior):
    """By hand for one noise; an empty instruction changes nothing, anywhere."""
    images, diffusion = pictures(), prior.diffusion
    found = prior.relevance(images, "a red ball", n_samples=1, generator=torch.Generator().manual_seed(3))
    assert found.shape == (len(images), 1, *images.shape[2:]) and found.max() > 0
    latents, at = diffusion.encode(images), torch.full((len(images),), round(0.8 * (diffusion.n_timesteps - 1)))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    noisy = diffusion.add_noise(latents, noise, at)
    told, untold = (
        diffusion.to_noise(
            noisy,
            diffusion.network(
                torch.cat([noisy, prior.condition(images)], 1), at, prior.embed([text]).expand(len(images), -1, -1)
            ),
            at,
        )
        for text in ("a red ball", "")
    )
    by_hand = torch.nn.functional.interpolate(
        (told - untold).abs().mean(1, keepdim=True), images.shape[2:], mode="bilinear"
    )
    assert torch.allclose(found, by_hand, atol=1e-5)
    assert prior.relevance(images, "", generator=torch.Generator().manual_seed(3)).abs().max() < 1e-6
