"""One image of one object: square, cut out, with the camera that sees it so."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.errors import Prior3dError
from prior3d.images.files import resample

SMALLEST_OBJECT = 12  # pixels of its longer side


@dataclass(frozen=True)
class Viewpoint:
    """Where an image is seen from: azimuth and elevation, vertical field of view, distance in world units."""

    azimuth_deg: float
    elevation_deg: float
    fov_deg: float
    radius: float

    @property
    def orbit(self) -> Orbit:
        """As an orbit of one view."""
        return Orbit(*(torch.tensor([v]) for v in (self.azimuth_deg, self.elevation_deg, self.radius, self.fov_deg)))

    def cameras(self, size: int) -> Cameras:
        """As one camera of size^2 pixels."""
        return orbit_cameras(self.orbit, size, size)


@dataclass(frozen=True)
class ObjectImage:
    """A square image of an object.

    Attributes:
        rgba: [size, size, 4] in [0, 1], colours not multiplied by alpha.
        viewpoint: the camera.
        depth: [size, size] in [0, 1] or None: distance from the camera, affine (larger is farther; scale unknown).
        normal: [size, size, 3] in [0, 1] or None: a normal map as it was given.
    """

    rgba: Float32[np.ndarray, "size size 4"]
    viewpoint: Viewpoint
    depth: Float32[np.ndarray, "size size"] | None = None
    normal: Float32[np.ndarray, "size size 3"] | None = None

    @property
    def size(self) -> int:
        """Side of the image in pixels."""
        side: int = self.rgba.shape[0]
        return side

    @property
    def mask(self) -> Float32[np.ndarray, "size size"]:
        """[size, size] in [0, 1]."""
        mask: NDArray[np.float32] = self.rgba[..., 3]
        return mask

    def premultiplied(
        self, size: int
    ) -> tuple[Float[Tensor, "new_size new_size 3"], Float[Tensor, "new_size new_size"]]:
        """Colours times mask [size, size, 3] and mask [size, size] at another size."""
        pixels = np.concatenate([self.rgba[..., :3] * self.rgba[..., 3:], self.rgba[..., 3:]], axis=-1)
        if size != self.size:
            pixels = resample(pixels, size, size)
        found = torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).clamp(0, 1)
        return found[..., :3], found[..., 3]

    def over(self, level: float, size: int) -> Float[Tensor, "3 new_size new_size"]:
        """The object over a flat grey of that level: [3, size, size]."""
        colours, mask = self.premultiplied(size)
        return (colours + (1 - mask[..., None]) * level).movedim(-1, 0)


def padded_square(
    layers: list[Float32[np.ndarray, "height width _"]], viewpoint: Viewpoint
) -> tuple[list[Float32[np.ndarray, "side side _"]], Viewpoint]:
    """Pad images [height, width, channels] to squares about their middle; nothing is scaled.

    Returns:
        the squares, and the same camera with the field of view that the square has.
    """
    height, width = layers[0].shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    squares = [np.pad(layer, ((top, side - height - top), (left, side - width - left), (0, 0))) for layer in layers]
    half = math.tan(math.radians(viewpoint.fov_deg) / 2) * side / height
    fov_deg = math.degrees(2 * math.atan(half))
    return squares, Viewpoint(viewpoint.azimuth_deg, viewpoint.elevation_deg, fov_deg, viewpoint.radius)


def centred_square(
    layers: list[Float32[np.ndarray, "height width _"]], mask: Float32[np.ndarray, "height width"], fill: float
) -> list[Float32[np.ndarray, "side side _"]]:
    """Cut squares out of images [height, width, channels] so that the object is in the middle; nothing is scaled.

    Args:
        layers: images of one size; what lies outside them becomes 0.
        mask: [height, width] in [0, 1], where the object is.
        fill: how much of the square's side the longer side of the object takes.
    """
    rows, columns = (np.flatnonzero((mask > 0.5).any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(1, round(max(bottom - top, right - left) / fill))
    first_row, first_column = round((top + bottom - side) / 2), round((left + right - side) / 2)
    return [_cut(layer, first_row, first_column, side) for layer in layers]


def check_large_enough(mask: Float32[np.ndarray, "height width"], where: str) -> None:
    """Hold that the object of a mask has enough pixels to be seen (raises Prior3dError, beginning with `where`)."""
    longer = max(int((mask > 0.5).any(axis=axis).sum()) for axis in (0, 1))
    if longer < SMALLEST_OBJECT:
        raise Prior3dError(
            f"{where}: the object is only {longer} pixel{'s' * (longer != 1)} large. Give an image in which its "
            f"longer side has at least {SMALLEST_OBJECT}; 64 and more are better."
        )


def _cut(
    layer: Float32[np.ndarray, "height width channels"], top: int, left: int, side: int
) -> Float32[np.ndarray, "side side channels"]:
    height, width = layer.shape[:2]
    cut = np.zeros((side, side, layer.shape[2]), np.float32)
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    cut[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = layer[rows, columns]
    return cut
