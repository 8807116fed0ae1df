"""Pictures of what a prior makes: a grid of samples for each role."""

import numpy as np
import torch
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.dataset_update.consensus import laid_on
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.inpainting import GREY, InpaintingPrior, InpaintSettings
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.toyworld.renders import toy_orbit

AZIMUTHS_DEG = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
ELEVATION_DEG = 20.0
N_DRAWN = 4  # samples of one request, where no camera tells them apart


def text_to_image_grid(
    prior: TextToImagePrior, prompts: list[str], guidance_scale: float, n_steps: int, seed: int
) -> Tensor:
    """A row a prompt: one azimuth a column where the prior takes cameras, else several samples; [3, height, width]."""
    rows = []
    for prompt in prompts:
        generator, camera = torch.Generator().manual_seed(seed), None
        texts = [prompt] * N_DRAWN
        if prior.camera_conditioned:
            orbit = toy_orbit(torch.tensor(AZIMUTHS_DEG), torch.full((len(AZIMUTHS_DEG),), ELEVATION_DEG))
            camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg)
            texts = [f"{prompt}, {word}" for word in view_words(orbit)]
        images = prior.sample(
            texts, camera, guidance_scale=guidance_scale, num_inference_steps=n_steps, generator=generator
        )
        rows.append(_row(images))
    return torch.cat(rows, dim=-2)


def inpainting_grid(
    prior: InpaintingPrior,
    image: Tensor,
    mask: Tensor,
    prompts: list[str],
    guidance_scale: float,
    n_steps: int,
    seed: int,
) -> Tensor:
    """A row a prompt: the image [3, h, w] with its hole grey, then several fillings of the mask [1, h, w]."""
    rows, settings = [], InpaintSettings(guidance_scale, n_steps)
    images, masks = (part.expand(N_DRAWN, -1, -1, -1) for part in (image, mask))
    for prompt in prompts:
        generator = torch.Generator().manual_seed(seed)
        filled = prior.inpaint(images, masks, [prompt] * N_DRAWN, settings, generator=generator)
        rows.append(_row(torch.cat([torch.where(mask >= 0.5, GREY, image)[None], filled.cpu()])))
    return torch.cat(rows, dim=-2)


def instruct_grid(
    prior: InstructPrior,
    image: Tensor,
    instructions: list[str],
    guidance_scale: float,
    image_guidance_scale: float,
    n_steps: int,
    seed: int,
) -> Tensor:
    """A row an instruction: the image [3, h, w], several edits of it, and behind them what these agree on."""
    rows, settings = [], EditSettings(guidance_scale, image_guidance_scale, n_steps)
    images = image.expand(N_DRAWN, -1, -1, -1)
    for instruction in instructions:
        generator = torch.Generator().manual_seed(seed)
        edited = prior.edit(images, images, [instruction] * N_DRAWN, settings, generator=generator)
        agreed = laid_on(prior, image[None], edited.mean(dim=0, keepdim=True))
        rows.append(_row(torch.cat([image[None], edited.cpu(), agreed.cpu()])))
    return torch.cat(rows, dim=-2)


def picture_of(grid: Tensor) -> np.ndarray:
    """A grid [3, height, width] as a picture [height, width, 3]."""
    picture: np.ndarray = grid.permute(1, 2, 0).cpu().numpy()
    return picture


def _row(images: Tensor) -> Tensor:
    return torch.cat(list(images.cpu()), dim=-1)
