"""The posed images that a sparse-view method is given, in memory."""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras


@dataclass(frozen=True)
class InputViews:
    """Posed images.

    Attributes:
        colours: in [0, 1], premultiplied where there are masks.
        masks: of the object, in [0, 1]; None where images are whole.
        weights: 0 where a pixel does not count.
        cameras: a view each.
    """

    colours: Float[Tensor, "views 3 height width"]
    masks: Float[Tensor, "views height width"] | None
    weights: Float[Tensor, "views height width"]
    cameras: Cameras

    def over(self, level: float) -> Float[Tensor, "views 3 height width"]:
        """The images, with objects on a grey background of that level."""
        return self.colours if self.masks is None else self.colours + (1 - self.masks[:, None]) * level

    def __getitem__(self, index: list[int]) -> "InputViews":
        """Some of the views."""
        masks = None if self.masks is None else self.masks[index]
        return InputViews(self.colours[index], masks, self.weights[index], self.cameras[torch.tensor(index)])

    def resized(self, size: int) -> "InputViews":
        """The views at size x size pixels, as a prior takes them."""

        def scaled(pixels: Float[Tensor, "views channels h w"]) -> Float[Tensor, "views channels new_h new_w"]:
            return functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True).clamp(0, 1)

        masks = None if self.masks is None else scaled(self.masks[:, None])[:, 0]
        weights = scaled(self.weights[:, None])[:, 0]
        return InputViews(scaled(self.colours), masks, weights, self.cameras.resized(size, size))
