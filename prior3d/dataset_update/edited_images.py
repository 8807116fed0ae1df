"""A capture while it is edited: its images as they are now, beside the untouched photos."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.captures.posed import PosedViews

SMOOTHED_OVER = 5  # pixels of the prior's image, over which a change must show


class EditedViews(nn.Module):
    """Images that are replaced one by one; a module, so that checkpoints hold them.

    Args:
        views: the capture.
        chosen: indices of the views that are edited; it begins with their photos.
        background: grey level behind objects that masks cut out.
        device: where images and cameras lie.

    Attributes:
        cameras: of the images.
        background: as given.
        pixels: the images as they are now, 0 to 255.
        originals: the photos, 0 to 255.
        n_edits: how many times an image was replaced.
    """

    pixels: UInt8[Tensor, "views 3 height width"]
    originals: UInt8[Tensor, "views 3 height width"]
    n_edits: Int[Tensor, ""]

    def __init__(
        self, views: PosedViews, chosen: list[int], background: float, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.cameras: Cameras = views.cameras[torch.tensor(chosen)].to(device)
        self.background = background
        photos = torch.stack([as_bytes(views.over(view, background)) for view in chosen]).to(device)
        self.register_buffer("originals", photos, persistent=False)
        self.register_buffer("pixels", photos.clone())
        self.register_buffer("n_edits", torch.zeros((), dtype=torch.int64, device=device))

    @property
    def n_views(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def now(self, view: int) -> Float[Tensor, "1 3 height width"]:
        """An image as it is now, in [0, 1]."""
        return self.pixels[view : view + 1].float() / 255

    def original(self, view: int) -> Float[Tensor, "1 3 height width"]:
        """The photo of a view, in [0, 1]."""
        return self.originals[view : view + 1].float() / 255

    def put(self, view: int, image: Float[Tensor, "1 3 height width"]) -> None:
        """Replace an image by an edit in [0, 1]."""
        self.pixels[view] = as_bytes(image[0])
        self.n_edits += 1

    def put_all(self, images: Float[Tensor, "views 3 height width"]) -> None:
        """Replace all images, in [0, 1], by what their edits agree on; this counts as no further edit."""
        self.pixels.copy_(as_bytes(images))


def prior_size(height: int, width: int, shorter: int, multiple: int) -> tuple[int, int]:
    """Height and width at which an image is shown to a prior: its shorter side as given, the other a multiple."""
    factor = shorter / min(height, width)
    sides = [max(multiple, round(side * factor / multiple) * multiple) for side in (height, width)]
    return sides[0], sides[1]


def resized(
    images: Float[Tensor, "views channels old_height old_width"], size: tuple[int, int]
) -> Float[Tensor, "views channels height width"]:
    """Images in [0, 1] at another size (height, width)."""
    if images.shape[2:] == size:
        return images
    return functional.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def transferred(
    original: Float[Tensor, "1 3 height width"],
    edited: Float[Tensor, "1 3 h w"],
    unedited: Float[Tensor, "1 3 h w"],
    min_change: float,
) -> Float[Tensor, "1 3 height width"]:
    """Change the photo as the prior changed its own small and lossy copy: original + edited - unedited.

    What the autoencoder and the size lose is not lost, and what the edit leaves alone stays exact.

    Args:
        original: the photo, in [0, 1].
        edited: the prior's result.
        unedited: the photo through the same sizes and the same autoencoder.
        min_change: changes whose mean over a few pixels is smaller are noise and are left out; 0: all count.
    """
    change = edited - unedited
    if min_change > 0:
        # max over colours, mean over pixels; from nothing at half of the least change to all of it at one and a half
        size = functional.avg_pool2d(change.abs().amax(1, keepdim=True), SMOOTHED_OVER, 1, SMOOTHED_OVER // 2)
        change = change * (size / min_change - 0.5).clamp(0, 1)
    if change.shape != original.shape:
        change = functional.interpolate(change, original.shape[2:], mode="bilinear", align_corners=False)
    return (original + change).clamp(0, 1)


def as_bytes(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """[0, 1] to 0 .. 255, rounded."""
    return (images.clamp(0, 1) * 255).round().byte()
