"""Guidance, noise and sampling of a prior, against hand-computed numbers and diffusers' own scheduler."""

import json

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.scheduling import ddim
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def prior(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors") / request.param
    camera = request.param == "v_prediction"
    return load_text_to_image(
        write_tiny_prior(folder, prediction_type=request.param, camera=camera), torch.device("cpu")
    )


def noisy_latents(n_views=2):
    return torch.randn(n_views, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def test_embeddings_are_cached_by_content_and_survive_the_text_encoder(tmp_path):
    prior = load_text_to_image(write_tiny_prior(tmp_path / "p"), torch.device("cpu"))
    both = prior.embed(["a red ball", "a red cube"])
    assert both.shape == (2, 16, 16) and not torch.equal(both[0], both[1])
    prior.free_text_encoder()
    assert torch.equal(prior.embed(["a red cube"])[0], both[1])
    with pytest.raises(Prior3dError, match="freed before 'a cube' was embedded"):
        prior.embed(["a cube"])


def test_embedding_ignores_its_neighbours(prior):
    assert torch.equal(prior.embed(["a red", "red view"])[1], prior.embed(["red view"])[0])


def test_unknown_words(prior):
    assert prior.unknown_words("a red bicycle, front view") == ["bicycle"]
    assert prior.unknown_words("A red ball.") == []


def test_guidance_moves_from_the_null_text_past_the_text(prior):
    text, null_text = prior.embed(["a red ball"]), prior.embed([""])
    timesteps = torch.tensor([10, 700])
    with_text = prior.predict(noisy_latents(), timesteps, Conditioning(text, null_text, 1.0))
    without = prior.predict(noisy_latents(), timesteps, Conditioning(null_text, text, 1.0))
    guided = prior.predict(noisy_latents(), timesteps, Conditioning(text, null_text, 7.0))
    assert not torch.allclose(with_text, without, atol=1e-4)
    torch.testing.assert_close(guided, without + 7 * (with_text - without), atol=2e-5, rtol=1e-4)


def test_camera_reaches_the_unet_only_where_it_is_taken(prior):
    text, null_text = prior.embed(["a red ball"]), prior.embed([""])
    camera = camera_embedding(torch.tensor([0.0, 180.0]), torch.tensor([10.0, 10.0]))
    timesteps = torch.tensor([500, 500])
    if not prior.camera_conditioned:
        with pytest.raises(Prior3dError, match="takes none"):
            prior.predict(noisy_latents(), timesteps, Conditioning(text, null_text, 5.0, camera))
        return
    seen = prior.predict(noisy_latents(), timesteps, Conditioning(text, null_text, 5.0, camera))
    turned = prior.predict(noisy_latents(), timesteps, Conditioning(text, null_text, 5.0, camera.flip(0)))
    assert not torch.allclose(seen, turned)


def test_encoder_is_differentiable_and_scaled(prior):
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    latents = prior.encode(images)
    assert latents.shape == (1, 4, 8, 8)
    raw = prior.diffusion.vae.encode(images * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(latents, raw * 0.5)
    latents.sum().backward()
    assert images.grad.abs().sum() > 0
    drawn = prior.encode(images, torch.Generator().manual_seed(0))
    assert not torch.equal(drawn, latents)


def test_decoder_undoes_the_scale_and_stays_in_range(prior):
    latents = noisy_latents(1)
    torch.testing.assert_close(
        prior.decode(latents), (prior.diffusion.vae.decode(latents / 0.5).sample / 2 + 0.5).clamp(0, 1)
    )


def test_ddim_agrees_with_diffusers(prior):
    """The same timesteps through diffusers' DDIMScheduler give the same clean latents."""
    text, null_text = prior.embed(["a red ball"]), prior.embed([""])
    timesteps = [750, 500, 250]
    ours = prior.denoise(noisy_latents(1), timesteps, Conditioning(text, null_text, 3.0))
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == [750, 500, 250, 0]
    latents = noisy_latents(1)
    for t in timesteps[:-1]:
        noise = prior.predict(latents, torch.tensor([t]), Conditioning(text, null_text, 3.0))
        latents = scheduler.step(noise, t, latents).prev_sample
    noise = prior.predict(latents, torch.tensor([250]), Conditioning(text, null_text, 3.0))
    expected = scheduler.step(noise, 250, latents).pred_original_sample
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_sampling_agrees_with_diffusers_pipeline(tmp_path, monkeypatch, prediction):
    """From the same noise, with its own timesteps, which are one off ours."""
    folder = write_tiny_prior(tmp_path / "p", prediction_type=prediction)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="trailing", set_alpha_to_one=True
    )
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    asked = {"negative_prompt": "", "guidance_scale": 3.0, "num_inference_steps": 4}
    expected = pipeline("a red ball", height=32, width=32, latents=noise, output_type="pt", **asked).images
    steps = pipeline.scheduler.timesteps.tolist()
    assert steps == [999, 749, 499, 249]
    monkeypatch.setattr("prior3d.diffusion.text_to_image.descending_timesteps", lambda *_: steps)
    prior = load_text_to_image(folder, torch.device("cpu"))
    ours = prior.sample(["a red ball"], generator=torch.Generator().manual_seed(4), **asked)
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=0)


def test_sampling_is_repeatable(prior):
    first, again, other = (
        prior.sample(["a red ball"], num_inference_steps=2, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert first.shape == (1, 3, 32, 32)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_schedule_that_ends_in_pure_noise_samples_finite_images(tmp_path):
    """Zero terminal SNR: alpha_bar of the last timestep is 0, by which DDIM would divide."""
    folder = write_tiny_prior(tmp_path / "p", prediction_type="v_prediction")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rescale_betas_zero_snr": True}))
    prior = load_text_to_image(folder, torch.device("cpu"))
    assert DDIMScheduler.from_pretrained(folder / "scheduler").alphas_cumprod[-1] == 0 < prior.schedule.signal[-1]
    images = prior.sample(["a red ball"], num_inference_steps=4, generator=torch.Generator().manual_seed(0))
    assert images.isfinite().all() and images.std() > 0
    noisy = noisy_latents(1)
    said = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(2))
    noise = prior.schedule.noise_of(noisy, said, torch.tensor([999]))
    clean = ddim(noisy, [999], prior.schedule, lambda latents, at: noise)
    # sqrt(0) z - sqrt(1) v; the roundings of numbers up to 4 are divided by 2^-12
    torch.testing.assert_close(clean, -said, atol=4e-3, rtol=0)


def test_schedules_with_some_signal_left_stay_as_they_are(prior):
    expected = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    assert torch.equal(prior.schedule.signal, expected)
