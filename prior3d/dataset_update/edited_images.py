"""A capture while it is edited: its pictures now, beside the untouched; a module, so that checkpoints hold them."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.captures.posed import PosedViews

SMOOTH_OVER = 5  # pixels of the prior's picture, over which a change must show


class EditedViews(nn.Module):
    """Pictures that are replaced one by one.

    Attributes:
        cameras: of the pictures.
        level: grey that objects are shown over.
        pixels: [views, 3, height, width] uint8, as they are now.
        n_edits: how many times a picture was replaced.
    """

    pixels: Tensor
    originals: Tensor
    n_edits: Tensor

    def __init__(self, views: PosedViews, chosen: list[int], level: float):
        """Begin with the capture's own pictures of the chosen views."""
        super().__init__()
        self.cameras: Cameras = views.cameras[torch.tensor(chosen)]
        self.level = level
        pictures = torch.stack([as_bytes(views.over(view, level)) for view in chosen])
        self.register_buffer("originals", pictures, persistent=False)
        self.register_buffer("pixels", pictures.clone())
        self.register_buffer("n_edits", torch.zeros((), dtype=torch.int64))

    @property
    def views(self) -> int:
        """Number of pictures."""
        return len(self.pixels)

    def now(self, view: int) -> Tensor:
        """[1, 3, height, width] in [0, 1] the picture as it is now."""
        return self.pixels[view : view + 1].float() / 255

    def original(self, view: int) -> Tensor:
        """[1, 3, height, width] in [0, 1] the capture's own picture."""
        return self.originals[view : view + 1].float() / 255

    def put(self, view: int, picture: Tensor) -> None:
        """Replace a picture by one of [1, 3, height, width] in [0, 1]."""
        self.pixels[view] = as_bytes(picture[0])
        self.n_edits += 1

    def put_all(self, pictures: Tensor) -> None:
        """Replace all by pictures [views, 3, height, width] in [0, 1] that no prior made anew."""
        self.pixels.copy_(as_bytes(pictures))


def prior_size(height: int, width: int, shorter: int, multiple: int) -> tuple[int, int]:
    """Height and width at which a picture is shown to a prior: its shorter side as given, the other a multiple."""
    factor = shorter / min(height, width)
    sides = [max(multiple, round(side * factor / multiple) * multiple) for side in (height, width)]
    return sides[0], sides[1]


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [n, 3, height, width] in [0, 1] at another size."""
    if images.shape[2:] == size:
        return images
    return functional.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def transferred(original: Tensor, edited: Tensor, unedited: Tensor, least_change: float) -> Tensor:
    """The original picture changed as the prior changed its own small and lossy copy of it.

    original + edited - unedited: what the autoencoder and the size lose is not lost, and what the edit leaves alone
    stays exact.

    Args:
        original: [1, 3, height, width] in [0, 1].
        edited: [1, 3, h, w] the prior's result.
        unedited: [1, 3, h, w] the original, through the same sizes and the same autoencoder.
        least_change: changes that are on average less over a few pixels are noise, and are left out; 0: all count.
    """
    change = edited - unedited
    if least_change > 0:
        # max over colours, mean over places; from nothing at half of the least change to all of it at one and a half
        size = functional.avg_pool2d(change.abs().amax(1, keepdim=True), SMOOTH_OVER, 1, SMOOTH_OVER // 2)
        change = change * (size / least_change - 0.5).clamp(0, 1)
    if change.shape != original.shape:
        change = functional.interpolate(change, original.shape[2:], mode="bilinear", align_corners=False)
    return (original + change).clamp(0, 1)


def as_bytes(picture: Tensor) -> Tensor:
    """[0, 1] to 0 .. 255, rounded."""
    return (picture.clamp(0, 1) * 255).round().byte()
