"""One edit of a picture out of several: what they agree on, laid onto the picture's own pixels.

A single answer of an instruct prior redraws all of a picture, through its autoencoder, with a chance of its own in
every pixel. The mean of several short ones keeps what they have in common; as a difference to the picture's own
reconstruction it leaves out what the autoencoder loses; and where it is small beside the picture's greatest change it
is left out, as Mirzaei et al. 2023 (Watch Your Steps) leave out places of little relevance. The mean blurs where
answers differ in shape ("turn it into a rocket"): it is for edits of colour and pattern.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.instruct import EditSettings, InstructPrior

TOP_SHARE = 0.05  # of the pixels: the least change among the greatest counts as the greatest
LEAST_CHANGE = 0.05  # of colour range; the greatest change counts as no less, so noise alone is no edit
SMOOTH_OVER = 3  # pixels a side, over which the size of a change is a mean


@dataclass(frozen=True)
class ConsensusEditSettings:
    """How many edits a consensus is of, and what of it is taken.

    Attributes:
        edit: settings of each edit; guidance on the text near 1, since it makes single edits bolder and the mean worse.
        n_samples: edits that the mean is of, each from noise of its own.
        relative_threshold: relative to the greatest change: half of a change is taken there (`share_taken`); 0: all of
            every change.
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
    camera: Float[Tensor, "views embedding"] | None = None,
    settings: ConsensusEditSettings = ConsensusEditSettings(),
    *,
    generator: torch.Generator,
) -> Float[Tensor, "views 3 height width"]:
    """Edit images as the mean of several edits does, where it changes enough.

    Args:
        prior: the instruct prior.
        images: in [0, 1], best at the prior's image_size.
        instructions: one a view, or one for all.
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
    return laid_on(prior, images, mean, settings.relative_threshold)


@torch.no_grad()
def laid_on(prior: InstructPrior, images: Tensor, mean: Tensor, least_share: float = 0.5) -> Tensor:
    """Images as a mean of their edits changes them, where it changes enough; all [views, 3, height, width]."""
    images = images.to(mean)
    change = mean - prior.decode(prior.encode(images))
    if least_share > 0:
        change = change * share_taken(relative_size(change), least_share)
    return (images + change).clamp(0, 1)


def relative_size(change: Tensor) -> Tensor:
    """How great each pixel's change is beside the image's greatest: [views, 3, h, w] to [views, 1, h, w]."""
    size = functional.avg_pool2d(change.abs().amax(dim=1, keepdim=True), SMOOTH_OVER, 1, SMOOTH_OVER // 2)
    n_pixels = size.shape[2] * size.shape[3]
    greatest = size.flatten(1).kthvalue(max(1, round((1 - TOP_SHARE) * n_pixels)), dim=1).values
    return size / greatest.clamp_min(LEAST_CHANGE)[:, None, None, None]


def share_taken(relevance: Tensor, threshold: float, steepness: float = 1.0) -> Tensor:
    """How much of an edit is taken: half at the threshold; of steepness 1 none at half of it, all at one and a half."""
    return ((relevance / threshold - 1) * steepness + 0.5).clamp(0, 1)
