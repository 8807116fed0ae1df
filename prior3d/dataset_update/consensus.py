"""One edit of an image out of several: what they agree on, added to the image's own pixels.

A single edit by an instruct prior passes all of the image through the autoencoder, with noise of its own in every
pixel. The mean of several short edits keeps what they have in common. Taken as a difference to the image's own
reconstruction, it leaves out what the autoencoder loses. Changes that are small beside the image's greatest change are
left out, as Mirzaei et al. 2023 (Watch Your Steps) leave out places of little relevance. The mean blurs where edits
differ in shape ("turn it into a rocket"): it is for edits of colour and pattern.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.instruct import EditSettings, InstructPrior

TOP_FRACTION = 0.05  # of the pixels: the least change among the greatest counts as the greatest
MIN_TOP_CHANGE = 0.05  # of colour range; the greatest change counts as no less, so noise alone is no edit
SMOOTHED_OVER = 3  # pixels a side, over which the size of a change is a mean


@dataclass(frozen=True)
class ConsensusEditSettings:
    """How many edits a consensus is of, and what of it is taken.

    Attributes:
        edit: settings of each edit; guidance on the text near 1: more makes single edits bolder and the mean worse.
        n_samples: edits that the mean is of, each from noise of its own.
        relative_threshold: fraction of the greatest change at which half of a change is taken (`soft_threshold`);
            0: all of every change.
    """

    edit: EditSettings = EditSettings(guidance_scale=1.5, image_guidance_scale=1.2, num_inference_steps=4)
    n_samples: int = 8
    relative_threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"n_samples {self.n_samples}: use at least 1")


@torch.no_grad()
def consensus_edit(
    prior: InstructPrior,
    images: Float[Tensor, "views 3 height width"],
    instructions: list[str],
    camera: Float[Tensor, "views 16"] | None = None,
    settings: ConsensusEditSettings = ConsensusEditSettings(),
    *,
    generator: torch.Generator,
) -> Float[Tensor, "views 3 height width"]:
    """Edit images as the mean of several edits does, where it changes enough.

    Args:
        prior: the instruct prior.
        images: in [0, 1], best at the prior's image_size.
        instructions: one per view, or one for all.
        camera: as in `InstructPrior.edit`.
        settings: of each edit, and of the consensus.
        generator: draws the noise.

    Returns:
        images in [0, 1]; the given ones where nothing changes.
    """
    images = images.to(prior.device)
    mean = torch.zeros_like(images)
    for _ in range(settings.n_samples):
        edited = prior.edit(images, images, instructions, settings.edit, camera, generator=generator)
        mean += edited / settings.n_samples
    return apply_residual(prior, images, mean, settings.relative_threshold)


@torch.no_grad()
def apply_residual(
    prior: InstructPrior,
    images: Float[Tensor, "views 3 height width"],
    mean: Float[Tensor, "views 3 height width"],
    relative_threshold: float = 0.5,
) -> Float[Tensor, "views 3 height width"]:
    """Add to images what the mean of their edits changes, where it changes enough."""
    images = images.to(mean)
    change = mean - prior.decode(prior.encode(images))
    if relative_threshold > 0:
        change = change * soft_threshold(relative_size(change), relative_threshold)
    return (images + change).clamp(0, 1)


def relative_size(change: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views 1 height width"]:
    """The size of each pixel's change as a fraction of the image's greatest."""
    size = functional.avg_pool2d(change.abs().amax(dim=1, keepdim=True), SMOOTHED_OVER, 1, SMOOTHED_OVER // 2)
    n_pixels = size.shape[2] * size.shape[3]
    greatest = size.flatten(1).kthvalue(max(1, round((1 - TOP_FRACTION) * n_pixels)), dim=1).values
    return size / greatest.clamp_min(MIN_TOP_CHANGE)[:, None, None, None]


def soft_threshold(
    relevance: Float[Tensor, "*shape"], threshold: float, steepness: float = 1.0
) -> Float[Tensor, "*shape"]:
    """Fraction of an edit that is taken: half at the threshold; at steepness 1 none at half of it, all at 1.5 times."""
    return ((relevance / threshold - 1) * steepness + 0.5).clamp(0, 1)
