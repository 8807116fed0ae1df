"""Chosen images of a capture in a size that is asked for, on the disk as bytes, so that many need no memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError

LEAST_SIDE = 8  # pixels


class WholeImages:
    """Images with their masks, premultiplied where masks cut out an object.

    Attributes:
        cameras: of the images, in their size.
    """

    def __init__(self, views: PosedViews, chosen: Sequence[int], fraction: float, file: Path):
        """Decode and shrink the chosen images one by one into `file` [chosen, height, width, 4] uint8 (colour, mask).

        Raises:
            Prior3dError: the masks leave no pixel to fit to.
        """
        whole = views.cameras[torch.tensor(list(chosen))]
        height, width = (max(LEAST_SIDE, round(side * fraction)) for side in (whole.height, whole.width))
        self.cameras, self._file = whole.resized(height, width), file
        premultiplied = views.mask_meaning == "object"
        store = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(len(chosen), height, width, 4))
        counted = 0.0
        for place, view in enumerate(chosen):
            mask = views.mask(view)
            colours = views.image(view) * mask if premultiplied else views.image(view)
            rgba = torch.cat([colours, mask[None]])
            if (height, width) != (whole.height, whole.width):
                rgba = functional.interpolate(rgba[None], (height, width), mode="area")[0]
            store[place] = (rgba * 255).round().byte().movedim(0, -1).numpy()
            counted += float(mask.sum())
        store.flush()
        if not counted:
            raise Prior3dError(
                f"the masks of all {len(chosen)} images that are fitted to are black everywhere, so no pixel counts; "
                "give masks that are white where the images are to be used, and run the stage that makes them again"
            )
        self._store = np.load(file, mmap_mode="r")

    def __len__(self) -> int:
        """How many images."""
        return len(self._store)

    def __getitem__(self, place: int) -> tuple[Cameras, Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
        """A camera, its image and its mask."""
        rgba = torch.from_numpy(self._store[place].astype(np.float32)) / 255
        return self.cameras[place], rgba[..., :3], rgba[..., 3]

    def remove(self) -> None:
        """Delete the file; no image can be read any more."""
        del self._store
        self._file.unlink(missing_ok=True)
