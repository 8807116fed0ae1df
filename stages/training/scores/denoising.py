"""Held-out error of the noise that a text-to-image prior predicts, by what it is told."""

import torch
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.camera_embedding import camera_embedding, no_camera
from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.scheduling import stratified_timesteps
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.compositing import background_colours, composite

BATCH = 16


@torch.no_grad()
def denoising_scores(prior: TextToImagePrior, world: RenderedDataset, n: int, seed: int = 0) -> dict[str, float]:
    """Held-out error of the predicted noise, given the right camera, the opposite one, none, or no caption either.

    The same images, noise and timesteps serve all four, so their differences are the conditions' worth.

    Args:
        prior: the prior.
        world: held-out objects.
        n: images, a multiple of 16.
        seed: of images, noise and timesteps.
    """
    generator = torch.Generator().manual_seed(seed)
    sums = dict.fromkeys(("right_camera", "opposite_camera", "no_camera", "no_caption"), 0.0)
    for first in range(0, n, BATCH):
        images, captions, views = _batch(world, first, generator)
        latents = prior.encode(images)
        t = stratified_timesteps(BATCH, prior.n_timesteps, generator)
        noise = torch.randn(latents.shape, generator=generator)
        noisy, text = prior.add_noise(latents, noise, t), prior.embed(captions)
        nothing = prior.embed([""]).expand(BATCH, -1, -1)
        right, opposite = (camera_embedding(views[:, 0] + turn, views[:, 1]) for turn in (0, 180))
        cases = {
            "right_camera": (text, right),
            "opposite_camera": (text, opposite),
            "no_camera": (text, no_camera(BATCH)),
            "no_caption": (nothing, no_camera(BATCH)),
        }
        for name, (condition, camera) in cases.items():
            predicted = prior.predict(noisy, t, Conditioning(condition, nothing[:1], 1.0, camera))
            sums[name] += _velocity_error(prior, predicted - noise, t) * BATCH / n
    return {f"v_error_{name}": value for name, value in sums.items()}


def _velocity_error(prior: TextToImagePrior, noise_error: Tensor, t: Tensor) -> float:
    signal = prior.schedule.signal[t].view(-1, 1, 1, 1)
    return float((noise_error.square() / signal).mean())  # ε̂ - ε = √ᾱ (v̂ - v)


def _batch(world: RenderedDataset, first: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
    """Images [16, 3, h, w] of different objects, their captions and their views [16, 2]."""
    stride = len(world) // BATCH
    index = (first // BATCH + torch.arange(BATCH) * stride) % len(world)
    chosen = torch.randint(len(BACKGROUNDS), (BATCH,), generator=generator)
    names = list(BACKGROUNDS)
    images = composite(torch.from_numpy(world.rgba[index.numpy()]), background_colours()[chosen])
    views = torch.from_numpy(world.views[index.numpy()])
    words = view_words(toy_orbit(views[:, 0], views[:, 1]))
    captions = [full_caption(world.caption(int(index[i])), words[i], names[int(chosen[i])]) for i in range(BATCH)]
    return images, captions, views
