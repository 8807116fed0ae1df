"""Images of what a prior makes: a grid of samples for each role."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from flows.terminal import say
from prior3d.cameras import view_words
from prior3d.dataset_update.consensus import apply_residual
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.concepts import add_concept
from prior3d.diffusion.inpainting import GREY, InpaintingPrior, InpaintSettings
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.diffusion.known_words import UnknownWord
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.errors import Prior3dError
from prior3d.images.files import resample, write_png
from prior3d.images.masks import decoded_mask
from prior3d.images.photographs import read_image
from prior3d.images.segmentation import border_of
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.priors import load_concept

AZIMUTHS_DEG = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
ELEVATION_DEG = 20.0
RING_DEG = (0.0, 90.0, 180.0, 270.0)  # azimuths of a joint-view prior's set
N_DRAWN = 4  # samples of one request, if no camera tells them apart


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn; `image_guidance_scale` is for instruct priors."""

    guidance_scale: float
    image_guidance_scale: float
    n_steps: int
    seed: int


def write_samples(
    out: Path, prior: Any, texts: list[str], image: Path | None, mask: Path | None, sampling: Sampling
) -> None:
    """Write a grid of samples as PNG.

    Args:
        out: the file.
        prior: loaded.
        texts: prompts or instructions, a row each.
        image: what is filled or edited; None for text_to_image and joint_views.
        mask: white where the image is to be filled; None for other roles.
        sampling: how samples are drawn.

    Raises:
        Prior3dError: an image file is not there or cannot be read.
    """
    scale, n_steps, seed = sampling.guidance_scale, sampling.n_steps, sampling.seed
    if isinstance(prior, JointViewsPrior):
        grid = joint_views_grid(prior, texts, scale, n_steps, seed)
    elif image is None:
        grid = text_to_image_grid(prior, texts, scale, n_steps, seed)
    else:
        rgb = read_given_image(image)
        given = squared(rgb, np.median(border_of(rgb), axis=0), prior.image_size)
        if mask is None:
            grid = instruct_grid(prior, given, texts, scale, sampling.image_guidance_scale, n_steps, seed)
        else:
            hole = squared(read_hole(mask, *rgb.shape[:2]), np.zeros(1, np.float32), prior.image_size)
            grid = inpainting_grid(prior, given, hole, texts, scale, n_steps, seed)
    write_png(out, grid.permute(1, 2, 0).cpu().numpy())


def teach_concept(prior: Any, folder: Path, texts: list[str]) -> None:
    """Teach a prior a concept's word (raises Prior3dError if no text holds it, or the prior cannot learn it)."""
    concept = load_concept(folder)
    if not any(concept.token in text for text in texts):
        raise Prior3dError(f"--concept: no --prompt holds its word; write e.g. --prompt 'a {concept.token}'")
    add_concept(prior, concept)


def unknown_words(prior: Any, texts: list[str]) -> list[UnknownWord]:
    """The words of some texts that a prior does not know."""
    return list({word: word for text in texts for word in prior.unknown_words(text)})


def read_given_image(path: Path) -> Float32[np.ndarray, "height width 3"]:
    """An image to fill or edit, upright and in sRGB; transparent pixels are white (raises Prior3dError)."""
    if not path.is_file():
        raise Prior3dError(f"--image {str(path)!r}: there is no such file")
    try:
        return read_image(path).over(1.0)
    except Prior3dError as error:
        raise Prior3dError(f"--image {error}") from None


def read_hole(path: Path, height: int, width: int) -> Float32[np.ndarray, "height width 1"]:
    """Where an image of that size is to be filled (raises Prior3dError, also where nothing is)."""
    if not path.is_file():
        raise Prior3dError(f"--mask {str(path)!r}: there is no such file")
    try:
        mask = decoded_mask(path)
    except Prior3dError as error:
        raise Prior3dError(f"--mask {error}") from None
    if abs(mask.shape[0] * width - mask.shape[1] * height) > 0.01 * mask.shape[0] * width:
        raise Prior3dError(
            f"--mask {path}: {mask.shape[1]}x{mask.shape[0]} pixels, but the image has {width}x{height}; "
            "give a mask of the same shape"
        )
    if not (mask >= 0.5).any():
        raise Prior3dError(f"--mask {path}: nothing in it is white, so nothing would be filled; make the hole white")
    return mask[..., None] if mask.shape == (height, width) else resample(mask[..., None], height, width)


def squared(
    pixels: Float32[np.ndarray, "height width channels"], beyond: Float32[np.ndarray, "channels"], size: int
) -> Tensor:
    """An image in the middle of a square of one colour, [channels, size, size]: nothing is squashed."""
    height, width, channels = pixels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.broadcast_to(beyond.astype(np.float32), (side, side, channels)).copy()
    square[top : top + height, left : left + width] = pixels
    return torch.from_numpy(resample(square, size, size).clip(0, 1)).permute(2, 0, 1)


def text_to_image_grid(
    prior: TextToImagePrior, prompts: list[str], guidance_scale: float, n_steps: int, seed: int
) -> Tensor:
    """One row per prompt, [3, height, width]: an azimuth per column if the prior takes cameras, else some samples."""
    rows = []
    for prompt in _announced(prompts):
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


def joint_views_grid(
    prior: JointViewsPrior, prompts: list[str], guidance_scale: float, n_steps: int, seed: int
) -> Tensor:
    """One row per prompt, [3, height, width]: a set of four views, drawn together."""
    rows, null_text = [], prior.embed([""])
    cameras = prior.orbit(torch.tensor(RING_DEG), torch.full((len(RING_DEG),), ELEVATION_DEG))
    for prompt in _announced(prompts):
        images = prior.sample(
            prior.embed([prompt]),
            cameras,
            null_text=null_text,
            guidance_scale=guidance_scale,
            num_inference_steps=n_steps,
            generator=torch.Generator().manual_seed(seed),
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
    """One row per prompt: the image [3, h, w] with a grey hole, then several fillings of the mask [1, h, w]."""
    rows, settings = [], InpaintSettings(guidance_scale, n_steps)
    images, masks = (part.expand(N_DRAWN, -1, -1, -1) for part in (image, mask))
    for prompt in _announced(prompts):
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
    """One row per instruction: the image [3, h, w], several edits of it, and then their consensus."""
    rows, settings = [], EditSettings(guidance_scale, image_guidance_scale, n_steps)
    images = image.expand(N_DRAWN, -1, -1, -1)
    for instruction in _announced(instructions):
        generator = torch.Generator().manual_seed(seed)
        edited = prior.edit(images, images, [instruction] * N_DRAWN, settings, generator=generator)
        agreed = apply_residual(prior, image[None], edited.mean(dim=0, keepdim=True))
        rows.append(_row(torch.cat([image[None], edited.cpu(), agreed.cpu()])))
    return torch.cat(rows, dim=-2)


def _announced(texts: list[str]) -> Iterator[str]:
    """The texts one by one; each is said before it is drawn, which takes a while."""
    for number, text in enumerate(texts, 1):
        say(f"drawing {number} of {len(texts)}: {text}")
        yield text


def _row(images: Tensor) -> Tensor:
    return torch.cat(list(images.cpu()), dim=-1)
