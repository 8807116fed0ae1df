"""Holes for the inpainting prior to learn on: halves, boxes, brush strokes, frames, and patches of the object."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor


def random_masks(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a hole for each image, of a random kind.

    Args:
        alpha: [n, size, size] the objects' coverage in 0..1.
        generator: draws kinds and shapes.

    Returns:
        [n, 1, size, size], 1 in the hole.
    """
    kinds = (half, half, box, strokes, outside_box, patch, patch, everything)
    chosen = torch.randint(len(kinds), (len(alpha),), generator=generator).tolist()
    return torch.stack([kinds[k](a, generator) for k, a in zip(chosen, alpha, strict=True)])[:, None].float()


def half(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """One side of a line through about the object's middle: [size, size] bool."""
    x, y = _offsets(alpha, 0.1, generator)
    angle = 2 * math.pi * _uniform(0, 1, generator)
    return x * math.cos(angle) + y * math.sin(angle) > 0


def box(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """A rectangle near the object."""
    x, y = _offsets(alpha, 0.35, generator)
    return (x.abs() < _uniform(0.15, 0.6, generator)) & (y.abs() < _uniform(0.15, 0.6, generator))


def outside_box(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """All but a rectangle about the object's middle."""
    x, y = _offsets(alpha, 0.15, generator)
    return (x.abs() > _uniform(0.3, 0.8, generator)) | (y.abs() > _uniform(0.3, 0.8, generator))


def strokes(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """A few bent brush strokes."""
    x, y = _grid(len(alpha))
    hole = torch.zeros_like(alpha, dtype=torch.bool)
    for _ in range(1 + int(_uniform(0, 4, generator))):
        steps = 0.4 * torch.randn(5, 2, generator=generator)
        points = (torch.rand(2, generator=generator) * 1.6 - 0.8 + steps.cumsum(0)).clamp(-1, 1)
        start, along = points[:-1, :, None, None], (points[1:] - points[:-1])[:, :, None, None]
        to_x, to_y = x - start[:, 0], y - start[:, 1]
        share = (to_x * along[:, 0] + to_y * along[:, 1]) / along.square().sum(1).clamp(min=1e-6)
        share = share.clamp(0, 1)
        distance = torch.hypot(to_x - share * along[:, 0], to_y - share * along[:, 1]).amin(0)
        hole |= distance < _uniform(0.06, 0.2, generator)
    return hole


def patch(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """An irregular part of the object, as what another view has not seen, a little wider than its outline."""
    field = torch.randn(1, 1, 4, 4, generator=generator)
    smooth = functional.interpolate(field, size=alpha.shape, mode="bicubic", align_corners=True)[0, 0]
    wider = 2 * int(_uniform(0, 3, generator)) + 1
    silhouette = functional.max_pool2d(alpha[None], wider, stride=1, padding=wider // 2)[0] > 0.02
    return silhouette & (smooth > _uniform(-0.9, 0.5, generator))


def everything(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """The whole image."""
    return torch.ones_like(alpha, dtype=torch.bool)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """Pixel centres: x and y, [size, size], in -1..1."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def _offsets(alpha: Tensor, jitter: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pixel centres about a point near the object's centroid."""
    x, y = _grid(len(alpha))
    weight = alpha / alpha.sum().clamp(min=1e-6)
    near = jitter * torch.randn(2, generator=generator)
    return x - (x * weight).sum() - near[0], y - (y * weight).sum() - near[1]


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
