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


@dataclass(frozen=True)
class Augmentation:
    """How far versions may differ from the image; each change happens with its own probability.

    Attributes:
        rotation_deg: largest turn to either side.
        rotated: probability of a turn.
        scale: smallest and largest enlargement; the object moves by at most half of what the frame has to spare.
        mirrored: probability of a mirror image; the camera's azimuth changes its sign with it.
        jitter: largest factor, minus one, of each colour channel's brightness.
        jittered: its probability.
        grey: probability of an image without colours.
        blurred: probability of a blur of 0.1 to `blur_pixels` pixels.
        blur_pixels: largest standard deviation of that blur.
    """

    rotation_deg: float = 10.0
    rotated: float = 0.75
    scale: tuple[float, float] = (0.85, 1.15)
    mirrored: float = 0.5
    jitter: float = 0.04
    jittered: float = 0.75
    grey: float = 0.1
    blurred: float = 0.1
    blur_pixels: float = 0.25


def augment(
    colours: Float[Tensor, "size size 3"],
    mask: Float[Tensor, "size size"],
    n_versions: int,
    how: Augmentation,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "versions 3 size size"], Float[Tensor, "versions size size"], Bool[Tensor, "versions"]]:
    """Draw versions of an image.

    Args:
        colours: [size, size, 3] premultiplied by the mask.
        mask: [size, size].
        n_versions: how many.
        how: the changes.
        generator: on the CPU.

    Returns:
        colours [n, 3, size, size] premultiplied, masks [n, size, size], and [n] whether each is a mirror image.
    """
    draw = _Draw(n_versions, generator)
    warps, mirror = _random_warps(how, draw)
    pixels = torch.cat([colours, mask[..., None]], -1).movedim(-1, 0).expand(n_versions, -1, -1, -1)
    grid = functional.affine_grid(warps, list(pixels.shape), align_corners=False)
    pixels = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    images, masks = pixels[:, :3], pixels[:, 3]
    factors = 1 + (torch.rand(n_versions, 3, generator=generator) * 2 - 1) * how.jitter
    images = torch.where(draw.happens(how.jittered).view(-1, 1, 1, 1), images * factors[..., None, None], images)
    grey = images.mean(1, keepdim=True).expand_as(images)
    images = torch.where(draw.happens(how.grey).view(-1, 1, 1, 1), grey, images)
    blurs = torch.where(draw.happens(how.blurred), draw.uniform(0.1, max(0.1, how.blur_pixels)), 0.0)
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


def _random_warps(how: Augmentation, draw: _Draw) -> tuple[Float[Tensor, "versions 2 3"], Bool[Tensor, "versions"]]:
    """Rotations, enlargements, shifts and mirrorings, for `affine_grid`; and whether each is a mirroring."""
    angle = torch.deg2rad(draw.uniform(-how.rotation_deg, how.rotation_deg)) * draw.happens(how.rotated)
    scale, mirror = draw.uniform(*how.scale), draw.happens(how.mirrored)
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
