"""Images and captions that a scorer learns to pair."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.scorer import VIEW_WORDS
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from prior3d.wideworld.kinds import WIDE_KINDS
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.compositing import background_colours, composite

LARGEST_SEEN = 64  # pixels a side


@dataclass(frozen=True)
class Batch:
    """Drawn pairs.

    Attributes:
        images: [n, 3, h, w] in 0..1.
        captions: [n] without view and background.
        views: [n] places in `VIEW_WORDS`.
        fronted: [n] whether the object's kind has a front.
        alpha: [n, 1, h, w] opacity of the object.
    """

    images: Tensor
    captions: list[str]
    views: Tensor
    fronted: Tensor
    alpha: Tensor


def draw_pairs(
    world: RenderedDataset, n: int, blurred_share: float, pixel_noise: float, generator: torch.Generator
) -> Batch:
    """Random renders over random named backgrounds, half of them mirrored, some of them blurred or noisy.

    Args:
        world: the renders.
        n: pairs.
        blurred_share: fraction of the images at half resolution.
        pixel_noise: largest standard deviation of the noise.
        generator: draws them.
    """
    index = torch.randint(len(world), (n,), generator=generator)
    colours = background_colours()[torch.randint(len(BACKGROUNDS), (n,), generator=generator)]
    rgba = torch.from_numpy(world.rgba[index.numpy()])
    images, alpha = composite(rgba, colours), rgba[:, None, :, :, 3] / 255
    if images.shape[-1] > LARGEST_SEEN:  # one scorer judges images of all sizes: it sees them small
        images, alpha = (functional.interpolate(whole, LARGEST_SEEN, mode="area") for whole in (images, alpha))
    mirrored = (torch.rand(n, generator=generator) < 0.5)[:, None, None, None]  # no word tells left from right
    images, alpha = (torch.where(mirrored, whole.flip(-1), whole) for whole in (images, alpha))
    captions = [world.caption(i) for i in index.tolist()]
    views = torch.from_numpy(np.array(world.views[index.numpy()]))
    words = view_words(toy_orbit(views[:, 0], views[:, 1]))
    fronted = torch.tensor([has_front(caption) for caption in captions])
    views = torch.tensor([VIEW_WORDS.index(word) for word in words])
    return Batch(roughened(images, blurred_share, pixel_noise, generator), captions, views, fronted, alpha)


def has_front(caption: str) -> bool:
    """Whether views of what a caption names differ; not known of real objects, so nothing is asked of their views."""
    thing = caption.partition(" with ")[0]
    fitting = [kind for kind in WIDE_KINDS if thing.endswith(f" {kind.noun}")]
    return max(fitting, key=lambda kind: len(kind.noun)).front if fitting else False


def roughened(images: Tensor, blurred_share: float, pixel_noise: float, generator: torch.Generator) -> Tensor:
    """Halve the resolution of some images and put a little noise on all: a scorer never judges a clean render."""
    n = len(images)
    coarse = halved(images)
    blurred = torch.rand(n, 1, 1, 1, generator=generator) < blurred_share
    deviation = pixel_noise * torch.rand(n, 1, 1, 1, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    return (torch.where(blurred, coarse, images) + deviation * noise).clamp(0, 1)


def halved(images: Tensor) -> Tensor:
    """Images [n, 3, h, w] as fields of half the resolution show them, at their own size."""
    return functional.interpolate(functional.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
