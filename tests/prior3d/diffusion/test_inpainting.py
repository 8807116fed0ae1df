"""The inpainting prior against diffusers' own pipeline and by hand."""

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from prior3d.diffusion.inpainting import InpaintSettings, load_inpainting
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def folder(request, tmp_path_factory):
    return write_tiny_prior(
        tmp_path_factory.mktemp("priors") / request.param, prediction_type=request.param, in_channels=9
    )


@pytest.fixture(scope="module")
def prior(folder):
    return load_inpainting(folder, CPU)


def holed():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, :, :, 16:] = 1
    masks[1, :, 5:20, 3:9] = 1
    return images, masks


def test_the_condition_is_the_mask_and_the_latents_of_the_image_with_a_grey_hole(prior):
    images, masks = holed()
    condition = prior.condition(images, masks)
    assert condition.shape == (2, 5, 8, 8)
    assert torch.equal(condition[0, 0], torch.cat([torch.zeros(8, 4), torch.ones(8, 4)], dim=1))
    grey = torch.where(masks > 0, 0.5, images)
    torch.testing.assert_close(condition[:, 1:], prior.encode(grey))
    elsewhere = torch.where(masks > 0, torch.rand_like(images), images)
    assert torch.equal(prior.condition(elsewhere, masks), condition), "what lies in the hole must not leak"


def test_filling_agrees_with_diffusers_pipeline(prior, folder, monkeypatch):
    images, masks = holed()
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    # the pipeline draws the image's latents from the posterior, we take its mode
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    expected = pipeline(
        prompt="a red ball",
        negative_prompt="",
        image=images[:1],
        mask_image=masks[:1],
        height=32,
        width=32,
        latents=noise,
        guidance_scale=3.0,
        num_inference_steps=4,
        output_type="pt",
    ).images
    assert pipeline.scheduler.timesteps.tolist() == [751, 501, 251, 1]
    monkeypatch.setattr("prior3d.diffusion.inpainting.descending_timesteps", lambda *_: [751, 501, 251, 1])
    settings = InpaintSettings(guidance_scale=3.0, num_inference_steps=4, keep_known=False)
    ours = prior.inpaint(
        images[:1],
        masks[:1],
        ["a red ball"],
        settings,
        generator=torch.Generator().manual_seed(4),
    )
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=0)
    other = prior.inpaint(images[:1], masks[:1], ["a red cube"], settings, generator=torch.Generator().manual_seed(5))
    assert (other - expected).abs().max() > 2e-2


def test_known_pixels_are_kept_or_not_as_the_caller_says(prior):
    images, masks = holed()
    kept, drawn = (
        prior.inpaint(
            images,
            masks,
            ["a red ball"] * 2,
            InpaintSettings(num_inference_steps=2, keep_known=keep),
            generator=torch.Generator().manual_seed(0),
        )
        for keep in (True, False)
    )
    hole = (masks > 0).expand_as(images)
    assert torch.equal(kept[~hole], images[~hole]) and torch.equal(kept[hole], drawn[hole])
    assert not torch.allclose(drawn[~hole], images[~hole], atol=1e-2)


def test_words_that_the_tokenizer_lacks_are_named(prior):
    assert prior.unknown_words("a red zeppelin") == ["zeppelin"]


def test_below_full_strength_filling_starts_from_the_images(prior, monkeypatch):
    images, masks = holed()
    diffusion, given = prior.diffusion, {}

    def denoise(noisy, timesteps, predict):
        given.update(noisy=noisy, timesteps=timesteps)
        return noisy

    monkeypatch.setattr(diffusion, "denoise", denoise)
    settings = InpaintSettings(num_inference_steps=4, strength=0.6)
    prior.inpaint(images, masks, ["a red ball"] * 2, settings, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(given["noisy"].shape, generator=torch.Generator().manual_seed(0))
    alpha = diffusion.schedule.signal[600]
    torch.testing.assert_close(
        given["noisy"], alpha.sqrt() * diffusion.encode(images) + (1 - alpha).sqrt() * noise, atol=1e-5, rtol=1e-4
    )
    assert given["timesteps"] == [600, 450, 300, 150]
