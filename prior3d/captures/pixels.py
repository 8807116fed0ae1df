"""All pixels of posed images with their rays, on the disk as bytes, so that a thousand images need no memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError
from prior3d.rendering.rays import local_rays


class PixelSampler:
    """Random pixels of chosen views.

    Attributes:
        views: the images and cameras.
        chosen: indices of the views that rays are drawn from.
    """

    def __init__(self, views: PosedViews, chosen: Sequence[int], file: Path):
        """Decode the chosen images one by one into `file` [chosen, height * width, 4] uint8 (colour, mask).

        Raises:
            Prior3dError: the masks leave no pixel to fit to.
        """
        self.views, self.chosen = views, torch.tensor(list(chosen))
        self._file = file
        self._n_pixels = views.cameras.height * views.cameras.width
        shape = (len(chosen), self._n_pixels, 4)
        store = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        n_counted = 0
        for place, view in enumerate(chosen):
            colours = views.image(view).movedim(0, -1).reshape(-1, 3)
            rgba = torch.cat([colours, views.mask(view).reshape(-1, 1)], -1)
            store[place] = (rgba * 255).round().byte().numpy()
            n_counted += int((store[place, :, 3] > 0).sum())
        store.flush()
        if not n_counted:
            raise Prior3dError(
                f"the masks of all {len(chosen)} images that are fitted to are black everywhere, so no pixel counts; "
                "give masks that are white where the images are to be used, and run the stage that makes them again"
            )
        self._store = np.load(file, mmap_mode="r").reshape(-1, 4)
        self._local = local_rays(views.cameras[0]).reshape(-1, 3)[:, :2]

    def draw(
        self, n_rays: int, generator: torch.Generator
    ) -> tuple[
        Float[Tensor, "rays 3"],
        Float[Tensor, "rays 3"],
        Float[Tensor, "rays 3"],
        Float[Tensor, "rays"],
        Int[Tensor, "rays"],
    ]:
        """Draw pixels evenly: origins, unit directions, colours (each [n_rays, 3]), masks and places [n_rays].

        A place is view among the chosen * pixels + pixel.
        """
        places = torch.randint(len(self._store), (n_rays,), generator=generator)
        origins, directions = self.rays(places)
        rgba = torch.from_numpy(self._store[places.numpy()].astype(np.float32)) / 255
        return origins, directions, rgba[:, :3], rgba[:, 3], places

    def rays(self, places: Int[Tensor, "rays"]) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
        """Origins and unit directions [n, 3] of pixels at places [n]."""
        cameras = self.views.cameras
        view = self.chosen[places // self._n_pixels]
        local = torch.cat([self._local[places % self._n_pixels], -cameras.focal_pixels[view][:, None]], -1)
        c2w = cameras.c2w[view]
        directions = (c2w[:, :3, :3] @ local[..., None])[..., 0]
        return c2w[:, :3, 3], torch.nn.functional.normalize(directions, dim=-1)

    def remove(self) -> None:
        """Delete the file; nothing can be drawn any more."""
        del self._store
        self._file.unlink(missing_ok=True)
