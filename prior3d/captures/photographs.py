"""Photographs of a capture in memory, with the masks of their object."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from prior3d.captures.capture import Frame
from prior3d.errors import Prior3dError
from prior3d.images.masks import decoded_mask
from prior3d.images.photographs import InputImage, read_image


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
    mask = frame_mask(frame)[None]
    return Photograph(frame, torch.cat([planes(frame_image(frame).rgb) * mask, mask]))


def frame_image(frame: Frame) -> InputImage:
    """A frame's whole image (raises Prior3dError where it is damaged, cut off or too large)."""
    try:
        return read_image(frame.image, upright=frame.upright)
    except Prior3dError as error:
        raise Prior3dError(f"{error}; or take its frame out") from None


def frame_mask(frame: Frame) -> Float[Tensor, "height width"]:
    """The mask in a frame's own file, or ones where it has none; in [0, 1].

    Raises:
        Prior3dError: it is damaged or cut off, or its values are no mask's.
    """
    if frame.mask is None:
        return torch.ones(frame.intrinsics.height, frame.intrinsics.width)
    read = read_image(frame.mask).rgb[..., 1] if frame.soft_mask else decoded_mask(frame.mask)
    return torch.from_numpy(np.ascontiguousarray(read))


def planes(pixels: Float32[np.ndarray, "height width channels"]) -> Float[Tensor, "channels height width"]:
    """Pixels of an image as a tensor, channels first."""
    return torch.from_numpy(pixels).movedim(-1, 0)
