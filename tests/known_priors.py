"""A prior and a scorer whose answers follow by hand."""

import torch

from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.scheduling import Schedule
from prior3d.diffusion.text_to_image import TextToImagePrior


class FlatDiffusion(LatentDiffusion):
    """Predicts no noise; latents of four channels are as large as images, whose colours are the first three."""

    def __init__(self, alphas):
        self.device, self.camera_conditioned = torch.device("cpu"), False
        self.latent_channels, self.latent_size, self.image_size, self.scaling_factor = 4, 2, 2, 1.0
        self.schedule = Schedule(alphas, 1 - alphas, "epsilon")

    def predict(self, noisy, timesteps, conditioning, condition=None):
        return torch.zeros_like(noisy)

    def encode(self, images, generator=None):
        return torch.cat([images, images[:, :1]], dim=1)

    def decode(self, latents):
        return latents[:, :3]


def flat_prior(alphas):
    """A prior without noise; alphas are alpha_bar of its timesteps."""
    return TextToImagePrior(FlatDiffusion(alphas))


class MeanColour:
    """A scorer whose embedding is the direction of the mean colour."""

    def embed_images(self, images):
        return torch.nn.functional.normalize(images.mean((2, 3)), dim=-1)
