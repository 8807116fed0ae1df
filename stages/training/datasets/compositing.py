"""Renders over the named backgrounds."""

import torch
from torch import Tensor

from prior3d.toyworld.palette import BACKGROUNDS


def composite(rgba: Tensor, backgrounds: Tensor) -> Tensor:
    """Put premultiplied RGBA [n, h, w, 4] uint8 over constant colours [n, 3]: images [n, 3, h, w] in 0..1."""
    pixels = rgba.float() / 255
    image = pixels[..., :3] + (1 - pixels[..., 3:]) * backgrounds[:, None, None]
    return image.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def background_colours(device: torch.device | str = "cpu") -> Tensor:
    """The colours of the named backgrounds: [backgrounds, 3]."""
    return torch.tensor(list(BACKGROUNDS.values()), device=device)
