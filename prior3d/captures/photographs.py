"""Photographs of a capture in memory, with the masks of their object."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.captures.capture import REPLACE, Frame
from prior3d.errors import Prior3dError
from prior3d.images.opening import opened_image


@dataclass(frozen=True)
class Photograph:
    """A frame and its pixels: `pixels` [3 or 4, h, w] in [0, 1], premultiplied by the fourth, the mask, if there."""

    frame: Frame
    pixels: Float[Tensor, "channels height width"]

    @property
    def masked(self) -> bool:
        """Whether it has a mask."""
        return len(self.pixels) == 4


def masked_photograph(frame: Frame) -> Photograph:
    """A frame's image under the mask that lies in a file of its own.

    Raises:
        Prior3dError: the frame has no mask file, or a file is cut off.
    """
    if frame.mask is None:
        raise Prior3dError(f"{frame.image}: it has no mask file; give one, or take its frame out")
    mask = decoded(frame.mask, "L")[None]
    return Photograph(frame, torch.cat([decoded(frame.image, "RGB").movedim(-1, 0) * mask, mask]))


def decoded(path: Path, mode: str) -> Float[Tensor, "height width *channels"]:
    """A whole image in [0, 1]: [h, w, channels], or [h, w] where the mode `L` has one.

    Raises:
        Prior3dError: the file is damaged or cut off, or has too many pixels.
    """
    with opened_image(path, str(path), REPLACE) as opened:
        pixels = np.array(opened.convert(mode))
    return torch.from_numpy(pixels).float().div_(255)
