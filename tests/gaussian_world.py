"""Priors whose true score is known: latents of one number, normal with a mean and a spread that the "text" says."""

from types import SimpleNamespace

import torch
from diffusers import DDIMScheduler

from prior3d.cameras import orbit_cameras, ring
from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.scheduling import diffusion_schedule
from prior3d.diffusion.text_to_image import TextToImagePrior

CPU = torch.device("cpu")


class GaussianUnet:
    """What a perfect network says of N(mean, spread^2): the expected noise, or of a flow the expected eps - z."""

    device, dtype = CPU, torch.float32
    config = SimpleNamespace(sample_size=1, class_embed_type=None)

    def __init__(self, schedule):
        self.schedule = schedule

    def __call__(self, seen, timesteps, encoder_hidden_states, class_labels, return_dict):
        mean, spread = (encoder_hidden_states[:, 0, i].view(-1, 1, 1, 1) for i in (0, 1))
        alpha, sigma = (part(timesteps).view(-1, 1, 1, 1) for part in (self.schedule.alpha, self.schedule.sigma))
        gain = (seen - alpha * mean) / (alpha**2 * spread**2 + sigma**2)  # minus the score of z_t
        noise = sigma * gain
        return (noise if self.schedule.target == "epsilon" else noise - (mean + alpha * spread**2 * gain),)


def exact_noise(noisy, alphas, mean, spread):
    """What a perfect diffusion model of N(mean, spread^2) says of noisy latents; alphas are alpha_bar."""
    return (1 - alphas).sqrt() * (noisy - alphas.sqrt() * mean) / (alphas * spread**2 + 1 - alphas)


def gaussian_prior(schedule=None):
    """A text-to-image prior of that world; the noise levels are Stable Diffusion's if none are given."""
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    schedule = schedule or diffusion_schedule(scheduler, CPU)
    vae = SimpleNamespace(config=SimpleNamespace(latent_channels=1, block_out_channels=(1,), scaling_factor=1.0))
    return TextToImagePrior(LatentDiffusion(unet=GaussianUnet(schedule), vae=vae, schedule=schedule))


def text(mean, spread):
    """The embedding that asks for N(mean, spread^2)."""
    return torch.tensor([[[mean, spread]]])


class GaussianViews:
    """Many views of one number, asked with a prompt of one law and a null prompt of another."""

    def __init__(self, prior, n, wanted, empty, scale):
        self.prior, self.n = prior, n
        self.asked = Conditioning(text(*wanted), text(*empty), scale)

    def sample(self, seeds):
        return self.asked

    def cameras(self, batch, size):
        return orbit_cameras(ring(self.n, 15.0, 3.2, 40.0), size, size)

    def predict(self, batch, noisy, timesteps):
        return self.prior.predict(noisy, timesteps, batch)

    def parts(self, batch, noisy, timesteps):
        return self.prior.parts(noisy, timesteps, batch)

    def without_prompt(self, batch, noisy, timesteps):
        return self.prior.predict(noisy, timesteps, Conditioning(batch.null_text, batch.null_text, 1.0))

    def output(self, batch, noisy, timesteps):
        return self.prior.diffusion.network(noisy, timesteps, batch.text.expand(len(noisy), -1, -1))

    def pose(self, batch):
        return torch.zeros(self.n, 16)
