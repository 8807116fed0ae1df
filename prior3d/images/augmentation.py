"""Random versions of one image, so that a word learned from it means the object and not the photograph.

RealFusion's augmentations (Melas-Kyriazi et al. 2023, its code): rotation, crop, colour jitter, grey, blur, mirror. The
outline is known here, so rotations and crops uncover the background and no invented border.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.settings.textual_inversion import AugmentationSettings


def augment(
    colours: Float[Tensor, "size size 3"],
    mask: Float[Tensor, "size size"],
    n_versions: int,
    settings: AugmentationSettings,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "versions 3 size size"], Float[Tensor, "versions size size"], Bool[Tensor, "versions"]]:
    """Draw versions of an image.

    Args:
        colours: [size, size, 3] premultiplied by the mask.
        mask: [size, size].
        n_versions: how many.
        settings: the changes, and how probable each is.
        generator: on the CPU.

    Returns:
        colours [n, 3, size, size] premultiplied, masks [n, size, size], and [n] whether each is a mirror image.
    """
    draw = _Draw(n_versions, generator)
    warps, mirror = _random_warps(settings, draw)
    pixels = torch.cat([colours, mask[..., None]], -1).movedim(-1, 0).expand(n_versions, -1, -1, -1)
    grid = functional.affine_grid(warps, list(pixels.shape), align_corners=False)
    pixels = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    images, masks = pixels[:, :3], pixels[:, 3]
    factors = 1 + (torch.rand(n_versions, 3, generator=generator) * 2 - 1) * settings.jitter
    images = torch.where(draw.happens(settings.jittered).view(-1, 1, 1, 1), images * factors[..., None, None], images)
    grey = images.mean(1, keepdim=True).expand_as(images)
    images = torch.where(draw.happens(settings.grey).view(-1, 1, 1, 1), grey, images)
    blurs = torch.where(draw.happens(settings.blurred), draw.uniform(0.1, max(0.1, settings.blur_pixels)), 0.0)
    images, masks = _blurred(torch.cat([images, masks[:, None]], 1), blurs).split([3, 1], dim=1)
    return torch.minimum(images, masks).clamp(0, 1), masks[:, 0].clamp(0, 1), mirror


@dataclass(frozen=True)
class _Draw:
    """Random numbers, one a version."""

    n: int
    generator: torch.Generator

    def uniform(self, low: float, high: float) -> Float[Tensor, "versions"]:
        return low + (high - low) * torch.rand(self.n, generator=self.generator)

    def happens(self, probability: float) -> Bool[Tensor, "versions"]:
        return torch.rand(self.n, generator=self.generator) < probability


def _random_warps(
    settings: AugmentationSettings, draw: _Draw
) -> tuple[Float[Tensor, "versions 2 3"], Bool[Tensor, "versions"]]:
    """Rotations, enlargements, shifts and mirrorings, for `affine_grid`; and whether each is a mirroring."""
    angle = torch.deg2rad(draw.uniform(-settings.rotation_deg, settings.rotation_deg)) * draw.happens(settings.rotated)
    scale, mirror = draw.uniform(*settings.scale), draw.happens(settings.mirrored)
    spare = (1 - scale).abs() / 2
    shift = torch.stack([draw.uniform(-1, 1) * spare, draw.uniform(-1, 1) * spare], -1)
    side = torch.where(mirror, -1.0, 1.0)
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    rows = torch.stack([cosine * side, -sine, shift[:, 0], sine * side, cosine, shift[:, 1]], -1)
    return rows.view(-1, 2, 3), mirror


def _blurred(
    pixels: Float[Tensor, "images channels height width"], deviations: Float[Tensor, "images"]
) -> Float[Tensor, "images channels height width"]:
    """Blur each image [n, channels, h, w] by its own Gaussian; 0 leaves it as it is."""
    reach = max(1, math.ceil(2 * float(deviations.max())))
    offsets = torch.arange(-reach, reach + 1, dtype=pixels.dtype)
    kernels = torch.exp(-(offsets**2) / (2 * deviations.clamp_min(1e-3)[:, None] ** 2))
    kernels = (kernels / kernels.sum(-1, keepdim=True)).repeat_interleave(pixels.shape[1], 0)[:, None]
    flat = functional.pad(pixels, (reach,) * 4, mode="replicate").flatten(0, 1)[None]
    n = flat.shape[1]
    flat = functional.conv2d(flat, kernels[..., None, :], groups=n)
    return functional.conv2d(flat, kernels[..., :, None], groups=n).view_as(pixels)
