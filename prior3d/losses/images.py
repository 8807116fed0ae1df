"""Losses of a field that is fitted to one image: its depth up to scale and offset, and how views look to a scorer.

Tang et al. 2023, Make-It-3D, section 3.2. All are differentiable in the render, also where the released code's were
not: its depth passed no gradient to the shape, and its CLIP-D none at all.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.text_to_image import TextToImagePrior


@runtime_checkable
class ImageScorer(Protocol):
    """What is needed of `prior3d.diffusion.scorer.Scorer`."""

    def embed_images(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images features"]:
        """Images [n, 3, h, w] in [0, 1] to unit embeddings [n, width]; differentiable."""


def pearson_depth(
    depth: Float[Tensor, "pixels"], reference: Float[Tensor, "pixels"], weights: Float[Tensor, "pixels"]
) -> Float[Tensor, ""]:
    """One minus the correlation of a depth with one that is known up to scale and offset (eq. 3): from 0 to 2.

    Args:
        depth: [n] rendered; the gradient goes here.
        reference: [n], larger is farther.
        weights: [n] at least 0, of the pixels that count.

    Returns:
        a scalar; 0 without a gradient where either depth is flat, for then they tell nothing of each other.
    """
    share = weights / weights.sum().clamp_min(1e-6)
    first, second = depth - (share * depth).sum(), reference - (share * reference).sum()
    spread = (share * first**2).sum() * (share * second**2).sum()
    if float(spread.detach()) < 1e-12:
        return (0 * depth).sum()
    return 1 - (share * first * second).sum() / spread.sqrt()


def dissimilarity(
    embeddings: Float[Tensor, "images features"], wanted: Float[Tensor, "#images features"]
) -> Float[Tensor, ""]:
    """Mean of one minus the cosine of unit embeddings [n, width] with those of what is wanted, [n or 1, width]."""
    return (1 - (embeddings * wanted).sum(-1)).mean()


def looks_like(
    images: Float[Tensor, "images 3 height width"],
    scorer: ImageScorer,
    image: Float[Tensor, "1 features"] | None,
    text: Float[Tensor, "#images features"] | None,
) -> Float[Tensor, ""]:
    """How far views are from an image and from a text, to a scorer (eq. 5): the sum of their `dissimilarity`.

    Args:
        images: [n, 3, h, w] in [0, 1]; the gradient goes here.
        scorer: the model that judges.
        image: [1, width] unit embedding of the reference image, or None to leave it out.
        text: [1 or n, width] unit embedding of the text, or None to leave it out.
    """
    found = scorer.embed_images(images)
    terms = [dissimilarity(found, wanted) for wanted in (image, text) if wanted is not None]
    return torch.stack(terms).sum() if terms else 0 * images.sum()


def denoised_images(
    latents: Float[Tensor, "views channels latent_height latent_width"],
    prior: TextToImagePrior,
    conditioning: Conditioning,
    timesteps: Int[Tensor, "views"],
    noise: Float[Tensor, "views channels latent_height latent_width"],
) -> Float[Tensor, "views 3 height width"]:
    """The clean images that a prior sees in noised views, in one step (eq. 4), differentiable in the latents.

    The predicted noise is held constant, as in score distillation: the clean latents then follow the rendered ones one
    to one, and the gradient passes through the decoder but not through the UNet.

    Args:
        latents: [views, channels, h, w] at the prior's scaled level.
        prior: the frozen model.
        conditioning: the views' texts, cameras and guidance scale.
        timesteps: [views].
        noise: standard normal, shaped like latents.

    Returns:
        [views, 3, height, width] in [0, 1].
    """
    noisy = prior.add_noise(latents, noise, timesteps)
    with torch.no_grad():
        predicted = prior.predict(noisy, timesteps, conditioning)
    return prior.decode(prior.schedule.clean_of(noisy, predicted, timesteps))
