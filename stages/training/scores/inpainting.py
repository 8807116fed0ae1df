"""Scores of the inpainting prior on held-out objects, and a sheet of samples."""

import torch
from torch import Tensor

from prior3d.diffusion.inpainting import InpaintingPrior, InpaintSettings
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.held_out import half_masked
from stages.training.scores.pixels import in_batches, psnr_where, reconstructed, rows_of


@torch.no_grad()
def inpainting_scores(
    prior: InpaintingPrior, world: RenderedDataset, n: int, guidance_scale: float = 2.0, n_steps: int = 25,
    seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Fill the missing half of `n` objects and compare with what was there.

    Returns:
        `hole_psnr_db`: of the hole; `object_in_hole_psnr_db`: of the object's pixels in it; `known_psnr_db`: of the
        pixels outside it, as they come out of the decoder; `vae_known_psnr_db`: the autoencoder's own of the same.
    """
    objects = half_masked(world, n, seed)
    cameras = objects.cameras if prior.camera_conditioned else None
    generator = torch.Generator().manual_seed(seed)

    def fill(part: slice) -> Tensor:
        return prior.inpaint(
            objects.images[part],
            objects.masks[part],
            objects.captions[part],
            InpaintSettings(guidance_scale, n_steps, keep_known=False),
            None if cameras is None else cameras[part],
            generator=generator,
        )

    filled, own = in_batches(fill, n), reconstructed(prior, objects.images)
    hole, known = objects.masks > 0, objects.masks == 0
    return {
        "hole_psnr_db": psnr_where(filled, objects.images, hole),
        "object_in_hole_psnr_db": psnr_where(filled, objects.images, hole & (objects.alpha > 0.5)),
        "known_psnr_db": psnr_where(filled, objects.images, known),
        "vae_known_psnr_db": psnr_where(own, objects.images, known),
    }


def sample_sheet(
    prior: InpaintingPrior, world: RenderedDataset, n: int = 10, n_steps: int = 20, seed: int = 1
) -> Tensor:
    """A picture [3, 3 h, n w]: half-masked objects, what the prior makes of them, what they were."""
    objects = half_masked(world, n, seed)
    images, masks = objects.images, objects.masks
    generator = torch.Generator().manual_seed(seed)
    settings = InpaintSettings(num_inference_steps=n_steps)
    filled = prior.inpaint(images, masks, objects.captions, settings, objects.cameras, generator=generator)
    return rows_of(torch.where(masks > 0, 0.5, images), filled.cpu(), images)
