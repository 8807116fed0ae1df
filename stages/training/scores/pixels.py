"""Errors of some pixels, and what the autoencoder alone makes of images.

Every PSNR is the mean over images of the PSNR in dB of the pixels that are meant; an image counts at most 50 dB.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from prior3d.diffusion.prior import DiffusionPrior

BATCH = 16


def reconstructed(prior: DiffusionPrior, images: Tensor) -> Tensor:
    """Images [n, 3, h, w] as the autoencoder gives them back."""
    return in_batches(lambda part: prior.decode(prior.encode(images[part].to(prior.device))), len(images))


def psnr_where(first: Tensor, second: Tensor, where: Tensor) -> float:
    """Mean over images [n, 3, h, w] of the PSNR in dB of some pixels [n, 1, h, w]; images without any do not count."""
    counted = where.flatten(1).any(dim=1)
    weight = where[counted].float()
    error = ((first - second)[counted].square() * weight).sum(dim=(1, 2, 3)) / (3 * weight.sum(dim=(1, 2, 3)))
    return float((-10 * error.clamp(min=1e-5).log10()).mean())


def in_batches(make: Callable[[slice], Tensor], n: int) -> Tensor:
    """The images that `make` gives for slices of n, on the CPU."""
    return torch.cat([make(slice(first, min(first + BATCH, n))).cpu() for first in range(0, n, BATCH)])


def rows_of(*rows: Tensor) -> Tensor:
    """A picture [3, rows * h, n * w] of rows of images [n, 3, h, w]."""
    return torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2)
