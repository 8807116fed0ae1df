"""LPIPS (Zhang et al. 2018) on VGG16's features, from weights that a person supplies; the project ships none.

A safetensors file holds `features.N.weight` and `features.N.bias` of torchvision's VGG16 (N of its 13 convolutions) and
`lin0.weight` .. `lin4.weight` [1, channels, 1, 1] of the calibrated distance.
"""

from pathlib import Path

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from prior3d.errors import Prior3dError

BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # torchvision's numbers of the convolutions
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # LPIPS's own normalisation, of images in [-1, 1]


class PerceptualDistance:
    """The frozen networks."""

    def __init__(self, tensors: dict[str, Float[Tensor, "..."]]) -> None:
        """Take the weights."""
        self.tensors = {name: value.requires_grad_(False) for name, value in tensors.items()}

    def __call__(
        self, first: Float[Tensor, "images 3 height width"], second: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, ""]:
        """Mean distance of images in [0, 1], 16 pixels or more a side; differentiable in both."""
        total = first.new_zeros(())
        for block, (a, b) in enumerate(zip(self._features(first), self._features(second), strict=True)):
            difference = (_unit(a) - _unit(b)).square()
            total = total + functional.conv2d(difference, self.tensors[f"lin{block}.weight"]).mean()
        return total

    def _features(self, images: Tensor) -> list[Tensor]:
        shift, scale = (images.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
        values, found = (images * 2 - 1 - shift) / scale, []
        for block, convolutions in enumerate(BLOCKS):
            if block:
                values = functional.max_pool2d(values, 2)
            for number in convolutions:
                weight, bias = (self.tensors[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
                values = functional.relu(functional.conv2d(values, weight, bias, padding=1))
            found.append(values)
        return found


def load_perceptual(file: Path, device: torch.device | str = "cpu") -> PerceptualDistance:
    """Read the weights.

    Raises:
        Prior3dError: the file is missing, damaged, or lacks a layer.
    """
    try:
        tensors = load_file(str(file), device=str(device))
    except (OSError, SafetensorError) as error:
        raise Prior3dError(f"{file}: no weights of a perceptual distance ({error}); give a safetensors file") from error
    needed = [f"features.{n}.{kind}" for block in BLOCKS for n in block for kind in ("weight", "bias")]
    missing = [name for name in [*needed, *(f"lin{block}.weight" for block in range(5))] if name not in tensors]
    if missing:
        raise Prior3dError(f"{file}: lacks {missing[0]} ({len(missing)} such); export VGG16 and LPIPS's linear layers")
    return PerceptualDistance(tensors)


def _unit(features: Tensor) -> Tensor:
    """Features [n, channels, h, w] of unit length at each place."""
    return features / (features.square().sum(1, keepdim=True) + 1e-10).sqrt()
