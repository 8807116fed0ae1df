"""Posed images on disk, read one at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.images.opening import opened_image

MaskMeaning = Literal["object", "ignore", "none"]


@dataclass(frozen=True)
class PosedViews:
    """Images of one size with centred pinhole cameras in the project's world.

    Attributes:
        cameras: [views].
        images: a file each.
        masks: a file each, or none at all.
        mask_meaning: outside of the masks there is nothing ("object"), or something that must not count ("ignore").
    """

    cameras: Cameras
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    mask_meaning: MaskMeaning

    @property
    def views(self) -> int:
        """Number of images."""
        return len(self.images)

    def image(self, view: int) -> Float[Tensor, "3 height width"]:
        """[3, height, width] in [0, 1]; inside an object's mask not premultiplied."""
        return self._pixels(self.images[view], "RGB").movedim(-1, 0) / 255

    def mask(self, view: int) -> Float[Tensor, "height width"]:
        """[height, width] in [0, 1]; ones without masks."""
        if not self.masks:
            return torch.ones(self.cameras.height, self.cameras.width)
        return self._pixels(self.masks[view], "L") / 255

    def counts(self, view: int) -> bool:
        """Whether any pixel of an image counts: with nothing in its mask a score of it would say nothing."""
        return self.mask_meaning != "ignore" or bool(self.mask(view).any())

    def over(self, view: int, level: float) -> Float[Tensor, "3 height width"]:
        """[3, height, width] the image; an object over a grey of that level."""
        if self.mask_meaning != "object":
            return self.image(view)
        mask = self.mask(view)
        return self.image(view) * mask + (1 - mask) * level

    def _pixels(self, path: Path, mode: str) -> Float[Tensor, "height width *channels"]:
        with opened_image(path, str(path), "run the stage that makes it again") as image:
            pixels = torch.from_numpy(np.array(image.convert(mode)))
        if pixels.shape[:2] != (self.cameras.height, self.cameras.width):
            raise Prior3dError(
                f"{path}: {tuple(pixels.shape[:2])} pixels, its cameras have "
                f"{self.cameras.height, self.cameras.width}; run the stage that makes it again"
            )
        return pixels.float()
